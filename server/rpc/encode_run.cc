#include "server/rpc/encode_run.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "server/represent/windows.h"
#include "server/rpc/encode_reply.h"
#include "server/validate/encode_size.h"

namespace attnd {
namespace {

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

void FreeOutputs(EncodeTask& task) {
  for (auto member :
       {&EncodeTask::rows_out, &EncodeTask::pooled_out, &EncodeTask::hidden_out,
        &EncodeTask::attention_weights_out, &EncodeTask::attention_scores_out,
        &EncodeTask::logits_out, &EncodeTask::sparse_out, &EncodeTask::projection_out}) {
    task.*member = {};
  }
}

// Of the whole input: from the first window's beginning to the last one's end.
JobTimings Join(std::span<const std::unique_ptr<Job>> jobs) {
  JobTimings all = jobs[0]->timings;
  for (const auto& job : jobs.subspan(1)) {
    all.started = std::min(all.started, job->timings.started);
    all.finished = std::max(all.finished, job->timings.finished);
    all.batch_rows = std::max(all.batch_rows, job->timings.batch_rows);
  }
  return all;
}

}  // namespace

void SetModel(const ServedModel& model, v1::ModelRef& ref) {
  ref.set_name(model.name);
  ref.set_version(model.info.version);
}

EncodeRun::EncodeRun(const ServiceContext& service, EncodePlan plan)
    : service_(service),
      plan_(std::move(plan)),
      count_(plan_.jobs.size()),
      done_(count_),
      remaining_(count_) {
  for (const auto& job : plan_.jobs) {
    bytes_ += job->bytes;
    rows_ += job->rows;
  }
  auto held = static_cast<int64_t>(bytes_);
  for (const PlannedInput& input : plan_.inputs) {
    held += input.held_bytes;
    service_.metrics.RecordTokenize(input.tokenize_seconds);
  }
  held_.emplace(service_.held_bytes, held);
  finished_.reserve(plan_.inputs.size());
}

bool EncodeRun::FitsQueue() const {
  const QueueDepth depth = service_.engine.depth();
  const Limits& limits = service_.limits;
  return depth.jobs + static_cast<int64_t>(count_) <= limits.queue_requests &&
         depth.rows + rows_ <= limits.queue_tokens &&
         static_cast<int64_t>(depth.bytes + bytes_) <= limits.queue_bytes;
}

absl::Status EncodeRun::Submit(Clock::time_point deadline,
                               std::shared_ptr<const std::atomic<bool>> cancelled,
                               const std::function<void(absl::Status)>& done) {
  if (!FitsQueue()) return absl::ResourceExhaustedError("the queue is full");
  on_done_ = done;
  for (size_t i = 0; i < count_; ++i) {
    Job& job = *plan_.jobs[i];
    service_.model.size_outputs(std::get<EncodeTask>(job.task));
    job.deadline = deadline;
    job.cancelled = cancelled;
    job.done = [this, i](std::unique_ptr<Job> finished, absl::Status status) {
      JobDone(i, std::move(finished), status);
    };
  }
  // From a local, because the run may be over before Submit returns.
  std::vector<std::unique_ptr<Job>> jobs = std::move(plan_.jobs);
  absl::Status status = service_.engine.Submit(jobs);
  if (status.ok()) return status;
  for (const auto& job : jobs) FreeOutputs(std::get<EncodeTask>(job->task));
  plan_.jobs = std::move(jobs);
  return status;
}

void EncodeRun::JobDone(size_t index, std::unique_ptr<Job> job, const absl::Status& status) {
  if (status.ok()) service_.metrics.RecordJob(job->timings);
  absl::Status outcome;
  {
    absl::MutexLock lock(&mutex_);
    status_.Update(status);
    done_[index] = std::move(job);
    if (--remaining_ > 0) return;
    outcome = status_;
  }
  const auto on_done = std::move(on_done_);
  on_done(std::move(outcome));  // May end this.
}

const EncodeRun::Finished& EncodeRun::FinishNext() {
  const PlannedInput& input = plan_.inputs[finished_.size()];
  const auto jobs = std::span(done_).subspan(finished_jobs_, input.job_count());
  Finished finished{.task = {}, .timings = Join(jobs)};
  if (input.windows.empty()) {
    finished.task = std::move(std::get<EncodeTask>(jobs[0]->task));
  } else {
    std::vector<EncodeTask> parts;
    for (const auto& job : jobs) parts.push_back(std::move(std::get<EncodeTask>(job->task)));
    finished.task = MergeWindows(input.merge_order, parts);
  }
  FinishOutputs(plan_.choices, service_.model.info, finished.task);
  finished_jobs_ += jobs.size();
  return finished_.emplace_back(std::move(finished));
}

void EncodeRun::WriteBegin(size_t index, v1::Encoding& encoding) {
  const PlannedInput& input = plan_.inputs[index];
  const Finished& finished = FinishNext();
  WriteFixed(plan_.choices, input, finished.task, service_.model, encoding);
  const JobTimings& times = finished.timings;
  v1::Timings& timings = *encoding.mutable_timings();
  timings.set_tokenize_seconds(input.tokenize_seconds);
  timings.set_queue_seconds(Seconds(times.started - times.submitted));
  timings.set_compute_seconds(Seconds(times.finished - times.started));
  timings.set_batch_tokens(times.batch_rows);
}

void EncodeRun::WriteAll(v1::EncodeResponse& response) {
  SetModel(service_.model, *response.mutable_model());
  for (size_t i = 0; i < plan_.inputs.size(); ++i) {
    v1::Encoding& encoding = *response.add_encodings();
    encoding.set_input_index(static_cast<int32_t>(i));
    WriteBegin(i, encoding);
    if (!plan_.choices.return_token_vectors) continue;
    WriteRows(plan_.choices, plan_.inputs[i], finished_[i].task, service_.model.info.hidden,
              {.first = 0, .count = plan_.inputs[i].rows_sent()}, encoding);
  }
}

bool EncodeRun::WritePart(int64_t reserved_bytes, v1::EncodeResponse& response) {
  SetModel(service_.model, *response.mutable_model());
  int64_t room = service_.limits.message_bytes - reserved_bytes - kResponseBytes;
  const bool has_rows = plan_.choices.return_token_vectors;
  const int64_t row_bytes = RowBytes(plan_.choices);
  while (next_input_ < plan_.inputs.size()) {
    const PlannedInput& input = plan_.inputs[next_input_];
    const int64_t rows = has_rows ? input.rows_sent() : 0;
    const int64_t fixed = next_row_ == 0 ? input.fixed_bytes : kEncodingBytes;
    const bool first_of_part = response.encodings().empty();
    // Validation has made sure that the fixed fields and one row always fit.
    const int64_t fit = std::min(
        rows - next_row_, std::max<int64_t>((room - fixed) / row_bytes, first_of_part ? 1 : 0));
    const bool whole = next_row_ + fit == rows;
    // An input begins where the whole of it fits, or at the beginning of a part.
    if (!first_of_part && (room < fixed || !whole)) return false;

    v1::Encoding& encoding = *response.add_encodings();
    encoding.set_input_index(static_cast<int32_t>(next_input_));
    if (next_row_ == 0) WriteBegin(next_input_, encoding);
    if (has_rows) {
      WriteRows(plan_.choices, input, finished_[next_input_].task, service_.model.info.hidden,
                {.first = next_row_, .count = fit}, encoding);
    }
    room -= fixed + fit * row_bytes;
    if (!whole) {
      next_row_ += fit;
      return false;
    }
    ++next_input_;
    next_row_ = 0;
  }
  return true;
}

std::vector<std::span<const float>> EncodeRun::PooledVectors() {
  while (finished_.size() < plan_.inputs.size()) FinishNext();
  std::vector<std::span<const float>> vectors;
  vectors.reserve(finished_.size());
  for (const Finished& finished : finished_) vectors.emplace_back(finished.task.pooled_out);
  return vectors;
}

}  // namespace attnd
