#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "core/batch/cost_model.h"
#include "core/batch/job.h"

namespace attnd {

// What the queue's parts ask of a job.

inline bool IsCancelled(const Job& job) {
  return job.cancelled != nullptr && job.cancelled->load(std::memory_order_acquire);
}

inline Work WorkOf(const Job& job) { return Work::OfSequence(job.rows); }

inline Clock::time_point EarliestDeadline(std::span<const std::unique_ptr<Job>> jobs) {
  Clock::time_point earliest = Clock::time_point::max();
  for (const auto& job : jobs) earliest = std::min(earliest, job->deadline);
  return earliest;
}

// What jobs are told that are not run.
inline absl::Status Cancelled() { return absl::CancelledError("the call was cancelled"); }
inline absl::Status ShutDown() { return absl::UnavailableError("the server is shutting down"); }

}  // namespace attnd
