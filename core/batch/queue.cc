#include "core/batch/queue.h"

#include <algorithm>
#include <atomic>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"

namespace attnd {
namespace {

bool IsCancelled(const Job& job) {
  return job.cancelled != nullptr && job.cancelled->load(std::memory_order_acquire);
}

absl::Status Cancelled() { return absl::CancelledError("the call was cancelled"); }
absl::Status Expired() { return absl::DeadlineExceededError("the deadline passed in the queue"); }
absl::Status ShutDown() { return absl::UnavailableError("the server is shutting down"); }

// Why the job is not to be run at `now`; OK if it is.
absl::Status Death(const Job& job, Clock::time_point now) {
  if (IsCancelled(job)) return Cancelled();
  return job.deadline <= now ? Expired() : absl::OkStatus();
}

Clock::time_point EarliestDeadline(std::span<const std::unique_ptr<Job>> jobs) {
  Clock::time_point earliest = Clock::time_point::max();
  for (const auto& job : jobs) earliest = std::min(earliest, job->deadline);
  return earliest;
}

void CopyResults(const Task& from, Task& to) {
  const auto* computed = std::get_if<EncodeTask>(&from);
  if (computed == nullptr) return;  // A test's.
  for (const auto member : kEncodeOutputs) std::get<EncodeTask>(to).*member = computed->*member;
}

absl::Status CheckJob(const Job& job, const BatchLimits& limits, Clock::time_point now) {
  CHECK_THAT(job.done != nullptr && job.steps > 0 && job.rows > 0);
  CHECK_THAT(job.key.empty() || job.steps == 1);
  if (job.rows > limits.rows_max) {
    return absl::InvalidArgumentError(absl::StrCat("an input has ", job.rows,
                                                   " rows; a batch holds at most ", limits.rows_max,
                                                   " (batch rows_max)"));
  }
  if (IsCancelled(job)) return Cancelled();
  if (job.deadline <= now) {
    return absl::DeadlineExceededError("the deadline had passed when the call was submitted");
  }
  return absl::OkStatus();
}

absl::Status CheckBound(const char* what, int64_t held, int64_t more, int64_t max) {
  // As a difference, since the sum could overflow.
  if (more <= max - held) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("the queue holds ", held, " of at most ", max,
                                                   " ", what, " (queue ", what, "_max); ", more,
                                                   " more do not fit"));
}

}  // namespace

void CallDone(std::vector<Finished>& finished) {
  for (Finished& one : finished) {
    if (one.computed_by != nullptr) CopyResults(one.computed_by->task, one.job->task);
    Job::Done done = std::move(one.job->done);
    std::move(done)(std::move(one.job), std::move(one.status));
  }
  finished.clear();
}

Queue::Queue(const BatchLimits& batch, const QueueLimits& limits, DecideFunction decide)
    : batch_limits_(batch), limits_(limits), decide_(decide) {
  CHECK_THAT(batch.rows_max > 0 && batch.sequences_max > 0);
}

bool Queue::HasLeader(const Job& job) const {
  return !job.key.empty() && leaders_.find(job.key) != leaders_.end();
}

absl::Status Queue::Check(std::span<const std::unique_ptr<Job>> jobs, Clock::time_point now) const {
  if (closed_) return ShutDown();
  QueueDepth more;
  std::unordered_set<std::string_view> keys;
  for (const std::unique_ptr<Job>& job : jobs) {
    RETURN_IF_ERROR(CheckJob(*job, batch_limits_, now));
    // No single job is larger than the bound, so the sum stays far from overflow.
    RETURN_IF_ERROR(CheckBound("bytes", depth_.bytes + more.bytes,
                               static_cast<int64_t>(std::min<uint64_t>(job->bytes, INT64_MAX)),
                               limits_.bytes_max));
    const bool leads = job->key.empty() || (keys.insert(job->key).second && !HasLeader(*job));
    if (leads) more.rows += job->rows;
    more.jobs += 1;
    more.bytes += static_cast<int64_t>(job->bytes);
  }
  RETURN_IF_ERROR(CheckBound("jobs", depth_.jobs, more.jobs, limits_.jobs_max));
  return CheckBound("rows", depth_.rows, more.rows, limits_.rows_max);
}

absl::Status Queue::Submit(std::vector<std::unique_ptr<Job>>& jobs, Clock::time_point now) {
  RETURN_IF_ERROR(Check(jobs, now));
  for (std::unique_ptr<Job>& job : jobs) {
    job->timings.submitted = now;
    if (HasLeader(*job)) {
      CountSharer(*job, +1);
      leaders_[job->key]->sharers.push_back(std::move(job));
      continue;
    }
    if (!job->key.empty()) leaders_[job->key] = job.get();
    Push(std::move(job), waiting_.size());
  }
  jobs.clear();
  return absl::OkStatus();
}

void Queue::ReapSharers(Clock::time_point now, std::vector<Finished>& finished) {
  if (sharers_ == 0) return;
  for (auto& [key, leader] : leaders_) {
    auto& sharers = leader->sharers;
    for (std::unique_ptr<Job>& sharer : sharers) {
      absl::Status death = Death(*sharer, now);
      if (death.ok()) continue;
      CountSharer(*sharer, -1);
      finished.push_back({std::move(sharer), std::move(death)});
    }
    std::erase(sharers, nullptr);
  }
}

void Queue::Inherit(std::unique_ptr<Job>& leader, const absl::Status& death,
                    std::vector<Finished>& finished) {
  std::unique_ptr<Job> heir = std::move(leader->sharers.front());
  leader->sharers.erase(leader->sharers.begin());
  heir->sharers = std::move(leader->sharers);
  leader->sharers.clear();
  leaders_[heir->key] = heir.get();
  CountSharer(*heir, -1);
  Count(*leader, -1);
  Count(*heir, +1);
  finished.push_back({std::move(leader), death});
  leader = std::move(heir);
}

void Queue::Drop(std::unique_ptr<Job> job, const absl::Status& why,
                 std::vector<Finished>& finished) {
  Count(*job, -1);
  FinishSharers(*job, why, finished);
  finished.push_back({std::move(job), why});
}

void Queue::FinishSharers(Job& leader, const absl::Status& status,
                          std::vector<Finished>& finished) {
  if (leader.key.empty()) return;
  leaders_.erase(leader.key);
  for (std::unique_ptr<Job>& sharer : std::exchange(leader.sharers, {})) {
    CountSharer(*sharer, -1);
    const Clock::time_point submitted = sharer->timings.submitted;
    sharer->timings = leader.timings;
    sharer->timings.submitted = submitted;
    sharer->timings.started = std::max(submitted, leader.timings.started);
    // It may have come while the step's end was on its way to the queue.
    sharer->timings.finished = std::max(sharer->timings.started, leader.timings.finished);
    sharer->timings.shared = true;
    finished.push_back({std::move(sharer), status, status.ok() ? &leader : nullptr});
  }
}

template <typename Visit>
void Queue::Sweep(Visit visit) {
  size_t kept = 0;
  size_t kept_continuing = 0;
  for (size_t i = 0; i < waiting_.size(); ++i) {
    visit(i);
    if (waiting_[i] == nullptr) continue;
    if (i < continuing_) ++kept_continuing;
    if (kept != i) waiting_[kept] = std::move(waiting_[i]);
    ++kept;
  }
  waiting_.resize(kept);
  continuing_ = kept_continuing;
}

Clock::time_point Queue::Take(Clock::time_point now, int workers_idle, Batch& batch,
                              std::vector<Finished>& finished) {
  CHECK_THAT(batch.jobs.empty());
  ReapSharers(now, finished);
  view_.clear();
  for (size_t i = 0; i < waiting_.size(); ++i) {
    absl::Status death = Death(*waiting_[i], now);
    if (!death.ok() && !waiting_[i]->sharers.empty()) {
      Inherit(waiting_[i], death, finished);
      death = absl::OkStatus();  // It was not a moment ago.
    }
    const Job& job = *waiting_[i];
    view_.push_back({.rows = job.rows,
                     .continuing = i < continuing_,
                     .cancelled = absl::IsCancelled(death),
                     .deadline = job.deadline,
                     .sharers_deadline = EarliestDeadline(job.sharers),
                     .queued_at = job.timings.submitted});
  }
  BatchLimits limits = batch_limits_;
  if (closed_) limits.delay_max = {};  // Nobody else will come.
  decide_(view_, now, limits, workers_idle, decision_);
  CHECK_THAT(decision_.verdicts.size() == waiting_.size());

  Sweep([&](size_t i) {
    if (decision_.verdicts[i] == Verdict::kWait) return;
    Leave(decision_.verdicts[i], std::move(waiting_[i]), now, batch, finished);
  });
  for (const std::unique_ptr<Job>& job : batch.jobs) {
    job->timings.batch_rows = batch.rows;
    job->timings.batch_sequences = static_cast<int32_t>(batch.jobs.size());
  }
  return decision_.wake;
}

void Queue::Leave(Verdict verdict, std::unique_ptr<Job> job, Clock::time_point now, Batch& batch,
                  std::vector<Finished>& finished) {
  switch (verdict) {
    case Verdict::kRun:
      Count(*job, -1);
      if (job->timings.started == Clock::time_point{}) job->timings.started = now;
      batch.rows += job->rows;
      batch.jobs.push_back(std::move(job));
      return;
    case Verdict::kCancelled:
      return Drop(std::move(job), Cancelled(), finished);
    case Verdict::kExpired:
      return Drop(std::move(job), Expired(), finished);
    case Verdict::kWait:
      break;
  }
  CHECK_THAT(false);
}

void Queue::Complete(const absl::Status& step, Clock::time_point now, Batch& batch,
                     std::vector<Finished>& finished) {
  for (std::unique_ptr<Job>& job : batch.jobs) {
    job->timings.finished = now;
    if (!step.ok()) {
      // The reason goes to the operator (BatchReport), not to whoever shared the batch.
      const absl::Status failed = absl::InternalError("the computation failed");
      FinishSharers(*job, failed, finished);
      finished.push_back({std::move(job), failed});
    } else if (--job->steps <= 0) {
      FinishSharers(*job, absl::OkStatus(), finished);
      finished.push_back({std::move(job), absl::OkStatus()});
    } else if (abandoned_) {
      finished.push_back({std::move(job), ShutDown()});
    } else {
      CHECK_THAT(job->rows > 0 && job->rows <= batch_limits_.rows_max);
      Push(std::move(job), continuing_);
      ++continuing_;
    }
  }
  batch.jobs.clear();
  batch.rows = 0;
}

void Queue::ReapCancelled(std::vector<Finished>& finished) {
  // At the beginning of time nothing has expired.
  ReapSharers(Clock::time_point::min(), finished);
  Sweep([&](size_t i) {
    if (!IsCancelled(*waiting_[i])) return;
    if (waiting_[i]->sharers.empty()) {
      Drop(std::move(waiting_[i]), Cancelled(), finished);
    } else {
      Inherit(waiting_[i], Cancelled(), finished);
    }
  });
}

void Queue::Abandon(std::vector<Finished>& finished) {
  Close();
  abandoned_ = true;
  for (std::unique_ptr<Job>& job : waiting_) {
    Drop(std::move(job), ShutDown(), finished);
  }
  waiting_.clear();
  continuing_ = 0;
}

void Queue::Push(std::unique_ptr<Job> job, size_t position) {
  Count(*job, +1);
  waiting_.insert(waiting_.begin() + static_cast<std::ptrdiff_t>(position), std::move(job));
}

void Queue::Count(const Job& job, int sign) {
  depth_.rows += sign * job.rows;
  depth_.jobs += sign;
  depth_.bytes += sign * static_cast<int64_t>(job.bytes);
}

void Queue::CountSharer(const Job& job, int sign) {
  sharers_ += sign;
  depth_.jobs += sign;
  depth_.bytes += sign * static_cast<int64_t>(job.bytes);
}

}  // namespace attnd
