#include "server/rpc/encode_run.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "core/base/check.h"
#include "server/validate/tensor.h"

namespace attnd {
namespace {

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

void WriteTokens(const Tokenized& from, v1::Tokens& to) {
  to.mutable_ids()->Assign(from.ids.begin(), from.ids.end());
  to.mutable_type_ids()->Assign(from.types.begin(), from.types.end());
  to.mutable_strings()->Assign(from.strings.begin(), from.strings.end());
  to.mutable_text_indices()->Assign(from.text_indices.begin(), from.text_indices.end());
  to.mutable_special()->Assign(from.special.begin(), from.special.end());
  for (const Tokenized::Offset& offset : from.offsets) {
    to.add_starts(offset.start);
    to.add_ends(offset.end);
  }
}

void SetModel(const ServedModel& model, v1::ModelRef& ref) {
  ref.set_name(model.name);
  ref.set_version(model.info.version);
}

}  // namespace

EncodeRun::EncodeRun(const ServiceContext& service, EncodePlan plan)
    : service_(service),
      plan_(std::move(plan)),
      count_(plan_.jobs.size()),
      done_(count_),
      remaining_(count_) {
  int64_t token_bytes = 0;
  for (const auto& job : plan_.jobs) {
    bytes_ += job->bytes;
    rows_ += job->rows;
  }
  for (const Tokenized& tokens : plan_.tokens) token_bytes += TokensBytes(tokens);
  held_.emplace(service_.held_bytes, static_cast<int64_t>(bytes_) + token_bytes);
  for (const double seconds : plan_.tokenize_seconds) service_.metrics.RecordTokenize(seconds);
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
  for (const auto& job : jobs) {
    auto& task = std::get<EncodeTask>(job->task);
    task.rows_out = {};
    task.pooled_out = {};
  }
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

void EncodeRun::WriteFixed(size_t index, v1::Encoding& encoding) const {
  encoding.set_token_count(plan_.token_counts[index]);
  encoding.set_truncated(plan_.truncated[index]);
  if (plan_.return_tokens && !plan_.tokens[index].ids.empty()) {
    WriteTokens(plan_.tokens[index], *encoding.mutable_tokens());
  }
  if (task(index).pooling.has_value()) {
    const std::vector<float>& pooled = task(index).pooled_out;
    WriteFloats(pooled, std::array{static_cast<int64_t>(pooled.size())},
                *encoding.mutable_pooled());
  }
  const JobTimings& times = done_[index]->timings;
  v1::Timings& timings = *encoding.mutable_timings();
  timings.set_tokenize_seconds(plan_.tokenize_seconds[index]);
  timings.set_queue_seconds(Seconds(times.started - times.submitted));
  timings.set_compute_seconds(Seconds(times.finished - times.started));
  timings.set_batch_tokens(times.batch_rows);
}

void EncodeRun::WriteRows(size_t index, int64_t first, int64_t count,
                          v1::Encoding& encoding) const {
  const int64_t hidden = service_.model.info.hidden;
  WriteFloats(std::span(task(index).rows_out).subspan(first * hidden, count * hidden),
              std::array{count, hidden}, *encoding.mutable_token_vectors());
  encoding.set_first_row(static_cast<int32_t>(first));
}

int64_t EncodeRun::FixedBytes(size_t index) const {
  return kEncodingBytes + static_cast<int64_t>(task(index).pooled_out.size() * sizeof(float)) +
         (plan_.return_tokens ? TokensBytes(plan_.tokens[index]) : 0);
}

void EncodeRun::WriteAll(v1::EncodeResponse& response) {
  SetModel(service_.model, *response.mutable_model());
  for (size_t i = 0; i < count_; ++i) {
    v1::Encoding& encoding = *response.add_encodings();
    encoding.set_input_index(static_cast<int32_t>(i));
    WriteFixed(i, encoding);
    if (task(i).return_rows) WriteRows(i, 0, plan_.token_counts[i], encoding);
  }
}

bool EncodeRun::WritePart(int64_t reserved_bytes, v1::EncodeResponse& response) {
  SetModel(service_.model, *response.mutable_model());
  int64_t room = service_.limits.message_bytes - reserved_bytes - kResponseBytes;
  const int64_t row_bytes =
      int64_t{service_.model.info.hidden} * static_cast<int64_t>(sizeof(float));
  while (next_input_ < count_) {
    const int64_t rows = task(next_input_).return_rows ? plan_.token_counts[next_input_] : 0;
    const int64_t fixed = next_row_ == 0 ? FixedBytes(next_input_) : kEncodingBytes;
    const bool first_of_part = response.encodings().empty();
    // Validation has made sure that the fixed fields and one row always fit.
    const int64_t fit = std::min(
        rows - next_row_, std::max<int64_t>((room - fixed) / row_bytes, first_of_part ? 1 : 0));
    const bool whole = next_row_ + fit == rows;
    // An input begins where the whole of it fits, or at the beginning of a part.
    if (!first_of_part && (room < fixed || !whole)) return false;

    v1::Encoding& encoding = *response.add_encodings();
    encoding.set_input_index(static_cast<int32_t>(next_input_));
    if (next_row_ == 0) WriteFixed(next_input_, encoding);
    if (rows > 0) WriteRows(next_input_, next_row_, fit, encoding);
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

}  // namespace attnd
