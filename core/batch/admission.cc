// What Queue takes and what it refuses.

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/batch/job_state.h"
#include "core/batch/queue.h"

namespace attnd {
namespace {

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

// Whole milliseconds, for a message.
int64_t Milliseconds(Clock::duration time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
}

absl::Status Refuse(const char* payload, const std::string& message) {
  absl::Status status = absl::ResourceExhaustedError(message);
  status.SetPayload(payload, absl::Cord());
  return status;
}

}  // namespace

absl::Status Queue::Check(std::span<const std::unique_ptr<Job>> jobs, Clock::time_point now,
                          const Outlook& outlook) const {
  if (closed_) return ShutDown();
  QueueDepth more;
  Work work;
  std::unordered_set<std::string_view> keys;
  for (const std::unique_ptr<Job>& job : jobs) {
    RETURN_IF_ERROR(CheckJob(*job, batch_limits_, now));
    // No single job is larger than the bound, so the sum stays far from overflow.
    RETURN_IF_ERROR(CheckBound("bytes", depth_.bytes + more.bytes,
                               static_cast<int64_t>(std::min<uint64_t>(job->bytes, INT64_MAX)),
                               limits_.bytes_max));
    const bool leads = job->key.empty() || (keys.insert(job->key).second && !HasLeader(*job));
    if (leads) {
      more.rows += job->rows;
      work += WorkOf(*job);
    }
    more.jobs += 1;
    more.bytes += static_cast<int64_t>(job->bytes);
  }
  RETURN_IF_ERROR(CheckBound("jobs", depth_.jobs, more.jobs, limits_.jobs_max));
  RETURN_IF_ERROR(CheckBound("rows", depth_.rows, more.rows, limits_.rows_max));
  // What is computed for another anyway is done as soon as that.
  if (jobs.empty() || more.rows == 0) return absl::OkStatus();
  return CheckWait(jobs, work, now, outlook);
}

absl::Status Queue::CheckWait(std::span<const std::unique_ptr<Job>> jobs, const Work& work,
                              Clock::time_point now, const Outlook& outlook) const {
  if (waiting_.empty()) return absl::OkStatus();
  const Clock::duration left = EarliestDeadline(jobs) - now;
  const double own = cost_.Seconds(work);
  const Clock::duration running = outlook.Until(0);
  // Mostly even what goes last is in time, and nobody has to be asked who goes before.
  const double all = cost_.Seconds(work_);
  if (outlook.Until(all) - running <= limits_.wait_max && outlook.Until(all + own) <= left) {
    return absl::OkStatus();
  }
  const Ahead ahead = SecondsAhead(*jobs[0], own, now);
  const Clock::duration wait = outlook.Until(ahead.to_begin) - running;
  if (wait > limits_.wait_max) {
    return Refuse(kWaitTooLong, absl::StrCat("what waits before it would take ", Milliseconds(wait),
                                             " ms; the limit is ", Milliseconds(limits_.wait_max),
                                             " ms (queue wait_max)"));
  }
  const Clock::duration time = outlook.Until(ahead.to_end + own);
  if (time <= left) return absl::OkStatus();
  return Refuse(kNotInTime, absl::StrCat("it would be done in ", Milliseconds(time),
                                         " ms; its deadline is in ", Milliseconds(left), " ms"));
}

Queue::Ahead Queue::SecondsAhead(const Job& job, double own, Clock::time_point now) const {
  const Clock::time_point due = DueOf(job, now);
  Work before, same;                         // In any case; and of this caller.
  std::unordered_map<int32_t, Work> others;  // In the same class.
  for (size_t i = 0; i < waiting_.size(); ++i) {
    const Job& other = *waiting_[i];
    if (i < continuing_ || other.priority < job.priority) {
      before += WorkOf(other);
    } else if (other.priority == job.priority && other.caller != job.caller) {
      others[other.caller] += WorkOf(other);
    } else if (other.priority == job.priority && DueOf(other, other.timings.submitted) <= due) {
      same += WorkOf(other);
    }
  }
  const double until_turn = cost_.Seconds(same);
  Ahead ahead;
  ahead.to_begin = ahead.to_end = cost_.Seconds(before) + until_turn;
  // While callers take turns, each gets as much as this one.
  for (const auto& [caller, theirs] : others) {
    const double seconds = cost_.Seconds(theirs);
    ahead.to_begin += std::min(seconds, until_turn);
    ahead.to_end += std::min(seconds, until_turn + own);
  }
  return ahead;
}

}  // namespace attnd
