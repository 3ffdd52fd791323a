// Forward passes through the engine that serves, on seeded random weights of a known shape, beside
// the roof of the machine in the same run. Prints a table in Markdown.
//
//   engine_bench [--model minilm|bert-base] [--precision f32|bf16|int8] [--workers N] [--repeats N]
//                [--split-rows N]
//
// Behind the table: where the time of a pass goes, on one thread, alone.
//
// In int8 and bf16 too the roof is that of f32: what is above it is what they gain.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "bench/passes.h"
#include "bench/roof.h"
#include "bench/workload.h"
#include "core/base/check.h"
#include "core/batch/engine.h"
#include "core/tensor/onednn.h"

namespace attnd::bench {
namespace {

struct Arguments {
  std::string model = "minilm";
  std::string precision = "f32";
  int workers = 2;
  int repeats = 7;
  int split_rows = Engine::Options().split_rows;
};

Arguments Parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--model") arguments.model = argv[i + 1];
    if (name == "--precision") arguments.precision = argv[i + 1];
    if (name == "--workers") arguments.workers = std::atoi(argv[i + 1]);
    if (name == "--repeats") arguments.repeats = std::atoi(argv[i + 1]);
    if (name == "--split-rows") arguments.split_rows = std::atoi(argv[i + 1]);
  }
  return arguments;
}

void PrintProfile(const Encoder& encoder) {
  std::printf("\nShare of each stage, one thread:\n\n| workload |");
  for (const std::string_view name : kStageNames) {
    std::printf(" %.*s |", static_cast<int>(name.size()), name.data());
  }
  std::printf("\n|---|");
  for (size_t i = 0; i < kStageNames.size(); ++i) std::printf("---:|");
  std::printf("\n");
  for (const char* workload : kWorkloads) {
    const Profile profile = MeasureProfile(encoder, WorkloadLengths(workload));
    const double all = std::accumulate(profile.seconds.begin(), profile.seconds.end(), 0.0);
    std::printf("| %s |", workload);
    for (const double seconds : profile.seconds) std::printf(" %.1f %% |", 100 * seconds / all);
    std::printf("\n");
  }
}

void Run(const Arguments& arguments) {
  const ModelShape shape = arguments.model == "bert-base" ? kBertBase : kMiniLm;
  const auto precision = ParsePrecision(arguments.precision);
  CHECK_THAT(precision.has_value());
  const auto encoder =
      RandomEncoder(BertArch(shape, /*length_max=*/512), {.precision = *precision});
  const auto engine = StartEngine(*encoder, arguments.workers, arguments.split_rows);

  // Interleaved, so that a noisy machine moves every row alike.
  std::vector<std::vector<double>> seconds(std::size(kWorkloads));
  std::vector<double> roofs;
  std::string roof_shape;
  for (int repeat = 0; repeat <= arguments.repeats; ++repeat) {
    const Roof roof = MeasureRoof(arguments.workers, 2.0);
    for (size_t i = 0; i < std::size(kWorkloads); ++i) {
      const double elapsed = RunOnce(*engine, WorkloadLengths(kWorkloads[i]), shape.hidden);
      if (repeat > 0) seconds[i].push_back(elapsed);  // The first pass warms caches and kernels.
    }
    if (repeat > 0) roofs.push_back(roof.flops_per_second);
    roof_shape = roof.shape;
  }

  const double roof = Median(roofs);
  std::printf("oneDNN %s on %s; %s, %s, %d workers of one thread, median of %d passes\n\n",
              onednn::Version().c_str(), onednn::Isa().c_str(), arguments.model.c_str(),
              arguments.precision.c_str(), arguments.workers, arguments.repeats);
  std::printf("Roof: %.1f GFLOP/s (%s), the best of %s\n\n", roof / 1e9, roof_shape.c_str(),
              DescribeSweep().c_str());
  std::printf("| workload | tokens | median ms | min ms | tokens/s | GFLOP/s | of the roof |\n");
  std::printf("|---|---:|---:|---:|---:|---:|---:|\n");
  for (size_t i = 0; i < std::size(kWorkloads); ++i) {
    const std::vector<int32_t> lengths = WorkloadLengths(kWorkloads[i]);
    int64_t tokens = 0;
    for (const int32_t length : lengths) tokens += length;
    const double median = Median(seconds[i]);
    const double rate = ModelFlops(shape, lengths) / median;
    std::printf("| %s | %ld | %.2f | %.2f | %.0f | %.1f | %.0f %% |\n", kWorkloads[i],
                static_cast<long>(tokens), median * 1e3,
                *std::min_element(seconds[i].begin(), seconds[i].end()) * 1e3,
                static_cast<double>(tokens) / median, rate / 1e9, 100 * rate / roof);
  }
  PrintProfile(*encoder);
}

}  // namespace
}  // namespace attnd::bench

int main(int argc, char** argv) { attnd::bench::Run(attnd::bench::Parse(argc, argv)); }
