#include "server/rpc/encode_run.h"

#include <algorithm>
#include <utility>

#include "server/heads/plan.h"
#include "server/represent/windows.h"
#include "server/rpc/encode_reply.h"
#include "server/validate/encode_size.h"

namespace attnd {
namespace {

// What the inputs keep alive besides their jobs, in bytes.
int64_t Held(const EncodePlan& plan) {
  int64_t bytes = 0;
  for (const PlannedInput& input : plan.inputs) bytes += input.held_bytes;
  return bytes;
}

// Of the whole input: from the first window's beginning to the last one's end. Windows whose
// results were kept took no time, unless all were.
JobTimings Join(std::span<const std::unique_ptr<Job>> jobs) {
  JobTimings all = jobs[0]->timings;
  for (const auto& job : jobs.subspan(1)) {
    const JobTimings& one = job->timings;
    if (one.kept) continue;
    if (all.kept) {
      all = one;
      continue;
    }
    all.submitted = std::min(all.submitted, one.submitted);
    all.started = std::min(all.started, one.started);
    all.finished = std::max(all.finished, one.finished);
    all.batch_rows = std::max(all.batch_rows, one.batch_rows);
    all.shared |= one.shared;
  }
  return all;
}

}  // namespace

EncodeRun::EncodeRun(const ServiceContext& service, const ModelContext& model, EncodePlan plan)
    : model_(model),
      plan_(std::move(plan)),
      run_(service, model, std::move(plan_.jobs), Held(plan_)) {
  for (const PlannedInput& input : plan_.inputs) {
    model_.metrics.RecordTokenize(input.tokenize_seconds);
  }
  finished_.reserve(plan_.inputs.size());
}

const EncodeRun::Finished& EncodeRun::FinishNext() {
  const PlannedInput& input = plan_.inputs[finished_.size()];
  const auto jobs = run_.jobs().subspan(finished_jobs_, input.job_count());
  Finished finished{.task = {}, .timings = Join(jobs)};
  if (input.windows.empty()) {
    finished.task = std::move(std::get<EncodeTask>(jobs[0]->task));
  } else {
    std::vector<EncodeTask> parts;
    for (const auto& job : jobs) parts.push_back(std::move(std::get<EncodeTask>(job->task)));
    finished.task = MergeWindows(input.merge_order, parts);
  }
  FinishOutputs(plan_.choices, model_.served.info, finished.task);
  finished_jobs_ += jobs.size();
  return finished_.emplace_back(std::move(finished));
}

void EncodeRun::WriteBegin(size_t index, v1::Encoding& encoding) {
  const PlannedInput& input = plan_.inputs[index];
  const Finished& finished = FinishNext();
  WriteFixed(plan_.choices, input, finished.task, model_.served, encoding);
  WriteTimings(finished.timings, input.tokenize_seconds, *encoding.mutable_timings());
}

void EncodeRun::WriteAll(v1::EncodeResponse& response) {
  WriteModel(model_.served, *response.mutable_model());
  for (size_t i = 0; i < plan_.inputs.size(); ++i) {
    v1::Encoding& encoding = *response.add_encodings();
    encoding.set_input_index(static_cast<int32_t>(i));
    WriteBegin(i, encoding);
    if (!plan_.choices.return_token_vectors) continue;
    WriteRows(plan_.choices, plan_.inputs[i], finished_[i].task, model_.served.info.hidden,
              {.first = 0, .count = plan_.inputs[i].rows_sent()}, encoding);
  }
}

bool EncodeRun::WritePart(int64_t reserved_bytes, v1::EncodeResponse& response) {
  WriteModel(model_.served, *response.mutable_model());
  int64_t room = model_.limits.message_bytes - reserved_bytes - kResponseBytes;
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
      WriteRows(plan_.choices, input, finished_[next_input_].task, model_.served.info.hidden,
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
