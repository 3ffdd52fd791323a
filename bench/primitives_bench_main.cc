// The measurements that decide how Linear and attention run (core/DESIGN.md): dense primitives by
// kind and row count, over packed weights in the layout that 16 rows prefer; one sequence's
// attention by length.
#include <vector>

#include "benchmark/benchmark.h"
#include "core/base/check.h"
#include "core/layers/attention.h"
#include "core/layers/dense_kernels.h"
#include "core/layers/kernels.h"
#include "core/tensor/aligned_buffer.h"

namespace attnd::bench {
namespace {

using onednn::Dense;
using onednn::DenseKind;

void SetRate(benchmark::State& state, double flops) {
  state.counters["FLOP/s"] =
      benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
}

// Arguments: kind, in, out, rows, epilogue.
void BM_Dense(benchmark::State& state) {
  onednn::UseOneThread();
  Dense::Spec spec{.kind = static_cast<DenseKind>(state.range(0)),
                   .rows = 16,
                   .in = state.range(1),
                   .out = state.range(2),
                   .epilogue = static_cast<onednn::Epilogue>(state.range(4))};
  const auto preferred = Dense::Make(spec);
  CHECK_THAT(preferred.ok());
  spec.layout = &preferred->layout();
  spec.rows = state.range(3);
  const auto dense = Dense::Make(spec);
  if (!dense.ok()) return state.SkipWithError(std::string(dense.status().message()).c_str());
  std::vector<float> x(spec.rows * spec.in, 0.5f), weights(spec.in * spec.out, 0.5f),
      bias(spec.out, 0.5f), y(spec.rows * spec.out);
  AlignedBuffer packed(dense->layout().bytes()), scratchpad(dense->scratchpad_bytes());
  dense->Pack(weights.data(), packed.data());
  for (auto _ : state) {
    dense->Run(x.data(), packed.data(), bias.data(), scratchpad.data(), y.data());
  }
  state.SetLabel(std::string(dense->implementation()));
  SetRate(state, 2.0 * static_cast<double>(spec.rows * spec.in * spec.out));
}
BENCHMARK(BM_Dense)
    ->ArgNames({"conv", "in", "out", "rows", "epilogue"})
    ->ArgsProduct({{0, 1}, {384}, {1152, 1536}, {8, 16, 32, 128, 512}, {0}})
    ->ArgsProduct({{0, 1}, {1536, 384}, {384}, {8, 16, 32, 128, 512}, {0}})
    ->ArgsProduct({{0, 1}, {768}, {3072}, {8, 32, 128, 512}, {0}})
    ->ArgsProduct({{1}, {384}, {1536}, {128, 512}, {0, 1}});

// Arguments: length, head size; 12 heads.
void BM_Attention(benchmark::State& state) {
  onednn::UseOneThread();
  constexpr int32_t kHeads = 12;
  const auto length = static_cast<int32_t>(state.range(0));
  const auto size = static_cast<int32_t>(state.range(1));
  const auto kernels = AttentionKernels::Make({kHeads, size, length});
  CHECK_THAT(kernels.ok());
  const int64_t width = int64_t{kHeads} * size;
  std::vector<float> qkv(length * 3 * width, 0.1f), context(length * width);
  Workspace workspace((*kernels)->workspace_bytes());
  for (auto _ : state) (*kernels)->Run(qkv.data(), nullptr, workspace, context.data());
  SetRate(state, 4.0 * length * length * static_cast<double>(width));
}
BENCHMARK(BM_Attention)
    ->ArgNames({"length", "size"})
    ->ArgsProduct({{16, 32, 64, 128, 256, 512}, {32, 64}});

// What a new row count or length costs, which is why none is made on the path of a request.
void BM_MakeAttention(benchmark::State& state) {
  onednn::UseOneThread();
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        AttentionKernels::Make({12, 32, static_cast<int32_t>(state.range(0))}));
  }
}
BENCHMARK(BM_MakeAttention)->Arg(32)->Arg(200);

// Arguments: in, out.
void BM_ChooseDense(benchmark::State& state) {
  onednn::UseOneThread();
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        DenseKernels::Choose({state.range(0), state.range(1), onednn::Epilogue::kNone}));
  }
}
BENCHMARK(BM_ChooseDense)->Args({384, 1536})->Args({768, 3072})->Unit(benchmark::kMillisecond);

void BM_LayerNorm(benchmark::State& state) {
  const int64_t n = state.range(0);
  std::vector<float> x(n, 0.5f), gain(n, 1.0f), bias(n, 0.0f);
  for (auto _ : state) kernels::LayerNorm(x.data(), x.data(), n, gain.data(), bias.data(), 1e-12f);
  state.SetBytesProcessed(state.iterations() * n * 4);
}
BENCHMARK(BM_LayerNorm)->Arg(384)->Arg(768);

}  // namespace
}  // namespace attnd::bench

BENCHMARK_MAIN();
