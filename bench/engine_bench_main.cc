// Forward passes through the engine that serves, on seeded random weights of a known shape, beside
// the roof of the machine in the same run. Prints a table in Markdown.
//
//   engine_bench [--model minilm|bert-base] [--precision f32|int8] [--workers N] [--repeats N]
//                [--split-rows N]
//
// Behind the table: where the time of a pass goes, on one thread, alone.
//
// In int8 too the roof is that of f32: what is above it is what int8 gains.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <latch>
#include <numeric>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "bench/roof.h"
#include "bench/workload.h"
#include "core/base/check.h"
#include "core/batch/engine.h"
#include "core/batch/model_executor.h"
#include "core/tensor/onednn.h"

namespace attnd::bench {
namespace {

constexpr int32_t kVocabulary = 30'522;
constexpr const char* kWorkloads[] = {"w1_16", "w1_128", "w1_512", "w2", "w3", "w4"};

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

std::unique_ptr<const Encoder> RandomEncoder(const ModelShape& shape, Precision precision) {
  ArchSpec arch;
  arch.family = "bert";
  arch.hidden = shape.hidden;
  arch.vocabulary = kVocabulary;
  arch.norm_epsilon = 1e-12f;
  arch.length_max = 512;
  arch.embed = {.positions = 512, .token_types = 2};
  arch.encoder = {.layers = shape.layers,
                  .heads = shape.heads,
                  .head_size = shape.hidden / shape.heads,
                  .inner = shape.inner};
  std::mt19937 random(1);
  const auto read = [&](auto, auto, std::span<float> out) {
    for (float& value : out) value = (static_cast<float>(random() % 2001) - 1000.0f) * 2e-5f;
    return absl::OkStatus();
  };
  auto encoder = Encoder::Load(arch, {.precision = precision}, read);
  CHECK_THAT(encoder.ok());
  return *std::move(encoder);
}

// One pass: all sequences are submitted at once, in arrival order; the time until the last is done.
double RunOnce(Engine& engine, const std::vector<int32_t>& lengths, int32_t hidden) {
  std::latch left(static_cast<std::ptrdiff_t>(lengths.size()));
  std::mt19937 random(7);
  std::vector<std::unique_ptr<Job>> jobs;
  for (const int32_t length : lengths) {
    EncodeTask task;
    for (int32_t i = 0; i < length; ++i) {
      task.ids.push_back(static_cast<int32_t>(random() % kVocabulary));
    }
    task.return_rows = true;
    task.rows_out.resize(static_cast<size_t>(length) * static_cast<size_t>(hidden));
    auto job = std::make_unique<Job>();
    job->rows = length;
    job->task = std::move(task);
    job->done = [&left](std::unique_ptr<Job>, absl::Status status) {
      CHECK_THAT(status.ok());
      left.count_down();
    };
    jobs.push_back(std::move(job));
  }
  const auto begin = std::chrono::steady_clock::now();
  CHECK_THAT(engine.Submit(0, jobs).ok());
  left.wait();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// The share of each stage in passes over a workload, in batches as they would be.
Profile MeasureProfile(const Encoder& encoder, const char* workload) {
  constexpr int32_t kBatchRows = 4096;
  constexpr int kPasses = 3;
  Encoder::Scratch scratch(encoder);
  Profile profile;
  std::vector<EncodeTask> tasks;
  for (const int32_t length : WorkloadLengths(workload)) {
    EncodeTask& task = tasks.emplace_back();
    task.ids.assign(static_cast<size_t>(length), 7);
    task.return_rows = true;
    task.rows_out.resize(static_cast<size_t>(length * encoder.arch().hidden));
  }
  for (int pass = 0; pass <= kPasses; ++pass) {
    // The first makes kernels.
    scratch.workspace().set_profile(pass > 0 ? &profile : nullptr);
    std::vector<EncodeTask*> batch;
    int32_t rows = 0;
    const auto run = [&] {
      CHECK_THAT(encoder.Run(batch, scratch).ok());
      batch.clear();
      rows = 0;
    };
    for (EncodeTask& task : tasks) {
      const auto length = static_cast<int32_t>(task.ids.size());
      if (rows + length > kBatchRows) run();
      batch.push_back(&task);
      rows += length;
    }
    run();
  }
  return profile;
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
    const Profile profile = MeasureProfile(encoder, workload);
    const double all = std::accumulate(profile.seconds.begin(), profile.seconds.end(), 0.0);
    std::printf("| %s |", workload);
    for (const double seconds : profile.seconds) std::printf(" %.1f %% |", 100 * seconds / all);
    std::printf("\n");
  }
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void Run(const Arguments& arguments) {
  const ModelShape shape = arguments.model == "bert-base" ? kBertBase : kMiniLm;
  const auto precision = ParsePrecision(arguments.precision);
  CHECK_THAT(precision.has_value());
  const auto encoder = RandomEncoder(shape, *precision);
  Engine::Options options;
  options.workers = arguments.workers;
  options.split_rows = arguments.split_rows;
  Engine::Lane lane;
  lane.queue = {.rows_max = 1 << 24, .jobs_max = 1 << 20, .bytes_max = int64_t{1} << 40};
  lane.executors = ModelExecutors(*encoder);
  Engine engine(std::move(options), std::move(lane));

  // Interleaved, so that a noisy machine moves every row alike.
  std::vector<std::vector<double>> seconds(std::size(kWorkloads));
  std::vector<double> roofs;
  std::string roof_shape;
  for (int repeat = 0; repeat <= arguments.repeats; ++repeat) {
    const Roof roof = MeasureRoof(arguments.workers, 2.0);
    for (size_t i = 0; i < std::size(kWorkloads); ++i) {
      const double elapsed = RunOnce(engine, WorkloadLengths(kWorkloads[i]), shape.hidden);
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
