#include "bench/roof.h"

#include <array>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "core/base/check.h"
#include "core/base/strings.h"
#include "core/tensor/aligned_buffer.h"
#include "core/tensor/onednn.h"

namespace attnd::bench {
namespace {

using onednn::Dense;
using onednn::DenseKind;
using Clock = std::chrono::steady_clock;

struct Size {
  int64_t in, out;
};
constexpr std::array<int64_t, 4> kRows{64, 128, 256, 512};
constexpr std::array<Size, 5> kSizes{
    {{384, 384}, {384, 1152}, {1536, 384}, {768, 768}, {768, 3072}}};
constexpr std::array kKinds{DenseKind::kMatmul, DenseKind::kConvolution1x1};

// Operations a second of one thread, from the moment that all threads are ready.
double RunThread(const Dense::Spec& spec, double seconds, std::barrier<>& ready) {
  onednn::UseOneThread();
  const auto dense = Dense::Make(spec);
  CHECK_THAT(dense.ok());
  AlignedBuffer x(static_cast<size_t>(spec.rows * spec.in) * 4);
  AlignedBuffer y(static_cast<size_t>(spec.rows * spec.out) * 4);
  AlignedBuffer weights(static_cast<size_t>(spec.in * spec.out) * 4);
  AlignedBuffer bias(static_cast<size_t>(spec.out) * 4), packed(dense->layout().bytes());
  AlignedBuffer scratchpad(dense->scratchpad_bytes());
  for (AlignedBuffer* buffer : {&x, &weights, &bias}) {
    for (float& value : buffer->floats()) value = 0.5f;
  }
  dense->Pack(weights.floats().data(), packed.data());
  const auto run = [&] {
    dense->Run(x.floats().data(), packed.data(), bias.floats().data(), scratchpad.data(),
               y.floats().data());
  };
  run();
  ready.arrive_and_wait();
  const auto begin = Clock::now();
  double elapsed = 0;
  int64_t calls = 0;
  while (elapsed < seconds) {
    for (int i = 0; i < 4; ++i) run();
    calls += 4;
    elapsed = std::chrono::duration<double>(Clock::now() - begin).count();
  }
  return 2.0 * static_cast<double>(spec.rows * spec.in * spec.out * calls) / elapsed;
}

double RunAll(const Dense::Spec& spec, int workers, double seconds) {
  std::barrier ready(workers);
  std::vector<double> rates(static_cast<size_t>(workers));
  std::vector<std::thread> threads;
  for (double& rate : rates) {
    threads.emplace_back([&] { rate = RunThread(spec, seconds, ready); });
  }
  for (std::thread& thread : threads) thread.join();
  double sum = 0;
  for (const double rate : rates) sum += rate;
  return sum;
}

std::string_view Name(DenseKind kind) {
  return kind == DenseKind::kMatmul ? "matmul" : "1x1 convolution";
}

}  // namespace

Roof MeasureRoof(int workers, double seconds) {
  const double each = seconds / static_cast<double>(kRows.size() * kSizes.size() * kKinds.size());
  Roof roof;
  for (const DenseKind kind : kKinds) {
    for (const Size size : kSizes) {
      for (const int64_t rows : kRows) {
        const Dense::Spec spec{.kind = kind, .rows = rows, .in = size.in, .out = size.out};
        const double rate = RunAll(spec, workers, each);
        if (rate <= roof.flops_per_second) continue;
        roof = {rate, StrCat(Name(kind), ", ", rows, " rows, ", size.in, " -> ", size.out)};
      }
    }
  }
  return roof;
}

std::string DescribeSweep() {
  std::string sizes, rows;
  for (const Size size : kSizes)
    sizes += StrCat(sizes.empty() ? "" : ", ", size.in, "->", size.out);
  for (const int64_t count : kRows) rows += StrCat(rows.empty() ? "" : ", ", count);
  return StrCat("matmul and 1x1 convolution x rows {", rows, "} x sizes {", sizes, "}");
}

}  // namespace attnd::bench
