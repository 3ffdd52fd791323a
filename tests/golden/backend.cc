#include "tests/golden/backend.h"

#include <algorithm>
#include <latch>
#include <utility>
#include <vector>

#include "core/base/model_dir.h"
#include "core/base/status_macros.h"
#include "core/batch/attention_executor.h"
#include "core/batch/model_executor.h"
#include "core/model/model_config.h"

namespace attnd::golden {
namespace {

constexpr int32_t kBatchRowsMax = 4096;
constexpr int kModelLane = 0;
constexpr int kAttentionLane = 1;

int32_t RowsOf(const Task& task) {
  if (const auto* encode = std::get_if<EncodeTask>(&task)) {
    return static_cast<int32_t>(encode->ids.size());
  }
  const auto& attend = std::get<AttendTask>(task);
  return static_cast<int32_t>(std::max(attend.query_length, attend.key_length));
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> LoadTokenizer(const ModelDir& dir) {
  ASSIGN_OR_RETURN(const std::string json, dir.ReadFile("tokenizer.json", kTokenizerBytesMax));
  return Tokenizer::Load(json);
}

std::unique_ptr<Executor> MakeAttentionExecutor(int) {
  return std::make_unique<AttentionExecutor>();
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Tokenizer>> OpenTokenizer(const std::string& directory) {
  ASSIGN_OR_RETURN(const ModelDir dir, ModelDir::Open(directory));
  return LoadTokenizer(dir);
}

absl::StatusOr<std::unique_ptr<Backend>> Backend::Open(const std::string& directory, int workers) {
  ASSIGN_OR_RETURN(const ModelDir dir, ModelDir::Open(directory));
  std::unique_ptr<Backend> backend(new Backend);
  ASSIGN_OR_RETURN(backend->model_, Model::Load(dir, {.batch_rows_max = kBatchRowsMax}));
  ASSIGN_OR_RETURN(backend->tokenizer_, LoadTokenizer(dir));
  const Model& model = *backend->model_;
  // The queue takes the largest case whole; everything else is as it serves.
  std::vector<Engine::Lane> lanes;
  for (const int lane : {kModelLane, kAttentionLane}) {
    lanes.push_back({.batch = {.rows_max = kBatchRowsMax},
                     .queue = {.rows_max = 1 << 20, .jobs_max = 1 << 16},
                     .executors = lane == kModelLane ? ModelExecutors(model.encoder())
                                                     : ExecutorFactory(&MakeAttentionExecutor)});
  }
  backend->engine_ =
      std::make_unique<Engine>(Engine::Options{.workers = workers}, std::move(lanes));
  RETURN_IF_ERROR(backend->engine_->status());
  return backend;
}

absl::Status Backend::Run(std::span<Task> tasks) {
  // All are of one kind.
  const bool attends = !tasks.empty() && std::holds_alternative<AttendTask>(tasks[0]);
  const int lane = attends ? kAttentionLane : kModelLane;
  std::latch running(static_cast<std::ptrdiff_t>(tasks.size()));
  std::vector<absl::Status> statuses(tasks.size());
  std::vector<std::unique_ptr<Job>> jobs;
  for (size_t i = 0; i < tasks.size(); ++i) {
    auto job = std::make_unique<Job>();
    job->rows = RowsOf(tasks[i]);
    job->task = std::move(tasks[i]);
    job->done = [&running, &task = tasks[i], &status = statuses[i]](std::unique_ptr<Job> finished,
                                                                    absl::Status outcome) {
      task = std::move(finished->task);
      status = std::move(outcome);
      running.count_down();
    };
    jobs.push_back(std::move(job));
  }
  RETURN_IF_ERROR(engine_->Submit(lane, jobs));
  running.wait();
  for (absl::Status& status : statuses) RETURN_IF_ERROR(std::move(status));
  return absl::OkStatus();
}

}  // namespace attnd::golden
