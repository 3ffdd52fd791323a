#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "core/batch/cost_model.h"
#include "core/batch/job.h"
#include "core/batch/limits.h"
#include "core/batch/outlook.h"
#include "tests/batch/random.h"

namespace attnd {

// What the simulation knows of each job by itself, and what follows from it: reckoned anew from all
// jobs each time, without the queue's sums and orders.

enum class JobState { kUnknown, kRefused, kWaiting, kRunning, kDone };
struct Record {
  JobState state = JobState::kUnknown;
  int32_t rows = 0, steps = 0;
  int64_t bytes = 0;
  Clock::time_point deadline, submitted;
  Priority priority = Priority::kNormal;
  int32_t caller = 0;
  std::shared_ptr<std::atomic<bool>> cancelled;
  int32_t steps_run = 0;
  bool failed = false;
};

// What a run did, so that a test can tell that the seeds reach what they are meant to reach.
struct Coverage {
  int64_t submits = 0, refusals = 0, refused_for_time = 0, batches = 0, steps = 0, abandoned = 0,
          splits = 0, delays = 0;
  int64_t ok = 0, cancelled = 0, expired = 0, failed = 0, unavailable = 0;
};

// Counts a job in or out.
inline void Add(QueueDepth& depth, const Record& job, int sign) {
  depth.rows += sign * job.rows;
  depth.jobs += sign;
  depth.bytes += sign * job.bytes;
}

inline BatchLimits RandomBatchLimits(Random& random) {
  return {.rows_max = random.Between(8, 64),
          .sequences_max = random.Between(1, 8),
          .delay_max = Clock::duration(random.OneIn(2) ? 0 : random.Between(1, 20))};
}

inline QueueLimits RandomQueueLimits(Random& random) {
  return {.rows_max = random.Between(32, 256),
          .jobs_max = random.Between(4, 32),
          .bytes_max = random.Between(100, 1000),
          .wait_max =
              random.OneIn(2) ? Clock::duration::max() : Clock::duration(random.Between(5, 60))};
}

inline std::optional<size_t> FindUnanswered(const std::vector<Record>& records) {
  for (size_t id = 0; id < records.size(); ++id) {
    const JobState state = records[id].state;
    if (state != JobState::kDone && state != JobState::kRefused) return id;
  }
  return std::nullopt;
}

inline bool IsDead(const Record& job, Clock::time_point now) {
  return *job.cancelled || job.deadline <= now;
}

// By when a job is to be served.
inline Clock::time_point DueOf(const Record& job, Clock::duration wait_max) {
  return job.deadline - job.submitted <= wait_max ? job.deadline : job.submitted + wait_max;
}

// What may be said to a request for the time that it would take. Within a tick of a bound it is
// either, for time is reckoned in floating point.
struct Patience {
  bool may_accept = true, may_refuse = false;
};

// Of the request whose jobs are the records from `first` on.
inline Patience PatienceOf(const std::vector<Record>& records, size_t first, const Outlook& outlook,
                           const CostModel& cost, Clock::duration wait_max, Clock::time_point now) {
  const Record& job = records[first];
  double before = 0, own = 0, same = 0, wait_for_turn = 0;
  bool idle = true;
  std::map<int32_t, double> others;
  for (size_t id = 0; id < records.size(); ++id) {
    const Record& other = records[id];
    const double seconds = cost.Seconds(Work::OfSequence(other.rows));
    if (id >= first) own += seconds;
    if (other.state != JobState::kWaiting) continue;
    idle = false;
    if (other.steps_run > 0 || other.priority < job.priority) {
      before += seconds;
    } else if (other.priority == job.priority && other.caller != job.caller) {
      others[other.caller] += seconds;
    } else if (other.priority == job.priority && DueOf(other, wait_max) <= DueOf(job, wait_max)) {
      same += seconds;
    }
  }
  if (idle) return {};
  before += same;
  wait_for_turn = before;
  for (const auto& [caller, seconds] : others) {
    wait_for_turn += std::min(seconds, same);
    before += std::min(seconds, same + own);
  }
  const auto ticks = [](Clock::duration time) { return static_cast<double>(time.count()); };
  constexpr double kTicksASecond = 1e9;
  const double wait = wait_for_turn * kTicksASecond / outlook.workers;
  const double end = (outlook.running + before + own) * kTicksASecond / outlook.workers;
  const double late =
      std::max(wait - ticks(wait_max),
               end - (ticks(job.deadline.time_since_epoch()) - ticks(now.time_since_epoch())));
  return {.may_accept = late<1, .may_refuse = late> - 1};
}

// A job that waits and that should have gone before one of those that have just started.
inline std::optional<size_t> FindOvertaken(const std::vector<Record>& records,
                                           const std::vector<size_t>& started,
                                           Clock::duration wait_max, Clock::time_point now) {
  const auto goes_before = [&](size_t id, size_t other_id) {
    const Record& job = records[id];
    const Record& other = records[other_id];
    if (job.priority != other.priority) return job.priority < other.priority;
    if (job.caller != other.caller) return false;  // They take turns.
    const Clock::time_point due = DueOf(job, wait_max), other_due = DueOf(other, wait_max);
    return due != other_due ? due < other_due : id < other_id;
  };
  for (const size_t id : started) {
    if (records[id].steps_run > 0) continue;
    for (size_t i = 0; i < records.size(); ++i) {
      const Record& other = records[i];
      if (other.state != JobState::kWaiting || other.steps_run > 0 || IsDead(other, now)) continue;
      if (goes_before(i, id)) return i;
    }
  }
  return std::nullopt;
}

}  // namespace attnd
