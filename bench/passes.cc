#include "bench/passes.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <latch>
#include <random>
#include <string>
#include <utility>

#include "core/base/check.h"
#include "core/batch/model_executor.h"

namespace attnd::bench {

ArchSpec BertArch(const ModelShape& shape, int32_t length_max) {
  ArchSpec arch;
  arch.family = "bert";
  arch.hidden = shape.hidden;
  arch.vocabulary = kVocabulary;
  arch.norm_epsilon = 1e-12f;
  arch.length_max = length_max;
  arch.embed = {.positions = length_max, .token_types = 2};
  arch.encoder = {.layers = shape.layers,
                  .heads = shape.heads,
                  .head_size = shape.hidden / shape.heads,
                  .inner = shape.inner};
  return arch;
}

std::unique_ptr<const Encoder> RandomEncoder(const ArchSpec& arch,
                                             const Encoder::Options& options) {
  std::mt19937 random(1);
  const auto read = [&](auto, auto, std::span<float> out) {
    for (float& value : out) value = (static_cast<float>(random() % 2001) - 1000.0f) * 2e-5f;
    return absl::OkStatus();
  };
  auto encoder = Encoder::Load(arch, options, read);
  if (!encoder.ok()) {
    std::fprintf(stderr, "%s\n", std::string(encoder.status().message()).c_str());
    std::exit(1);
  }
  return *std::move(encoder);
}

std::unique_ptr<Engine> StartEngine(const Encoder& encoder, int workers, int split_rows) {
  Engine::Options options;
  options.workers = workers;
  options.split_rows = split_rows;
  Engine::Lane lane;
  lane.queue = {.rows_max = 1 << 24, .jobs_max = 1 << 20, .bytes_max = int64_t{1} << 40};
  lane.executors = ModelExecutors(encoder);
  return std::make_unique<Engine>(std::move(options), std::move(lane));
}

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

Profile MeasureProfile(const Encoder& encoder, const std::vector<int32_t>& lengths) {
  constexpr int32_t kBatchRows = 4096;
  Encoder::Scratch scratch(encoder);
  Profile profile;
  std::vector<EncodeTask> tasks;
  for (const int32_t length : lengths) {
    EncodeTask& task = tasks.emplace_back();
    task.ids.assign(static_cast<size_t>(length), 7);
    task.return_rows = true;
    task.rows_out.resize(static_cast<size_t>(length * encoder.arch().hidden));
  }
  for (int pass = 0; pass <= kProfilePasses; ++pass) {
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

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace attnd::bench
