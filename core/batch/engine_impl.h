#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "core/base/check.h"
#include "core/base/mutex.h"
#include "core/batch/crew.h"
#include "core/batch/engine.h"
#include "core/batch/fair_share.h"
#include "core/batch/helpers.h"
#include "core/batch/outlook.h"
#include "core/batch/queue.h"
#include "core/batch/worker.h"

namespace attnd {

// For the engine's own files: engine.cc has what callers do, engine_work.cc what workers do.
class Engine::Impl {
 public:
  Impl(Options options, std::vector<Lane> lanes);
  ~Impl();

  const absl::Status& status() const { return status_; }
  absl::Status Submit(int lane, std::vector<std::unique_ptr<Job>>& jobs)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Check(int lane, std::span<const std::unique_ptr<Job>> jobs) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  void ReapCancelled() ABSL_LOCKS_EXCLUDED(mutex_);
  bool Drain(Clock::time_point deadline) ABSL_LOCKS_EXCLUDED(mutex_);
  QueueDepth depth(int lane) const ABSL_LOCKS_EXCLUDED(mutex_);
  double expected_seconds(int lane) const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Work(int index) ABSL_LOCKS_EXCLUDED(mutex_);
  // Counts a worker that has come so far. False if it has not; status_ says why.
  bool HasCome(int Impl::*count, int index, const char* what, const absl::Status& status)
      ABSL_LOCKS_EXCLUDED(mutex_);
  bool Pull(Worker& worker) ABSL_LOCKS_EXCLUDED(mutex_);
  Clock::time_point Take(Worker& worker) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Opens the worker's batch to helpers, if there is enough of it. How many to wake for it.
  int OpenToHelpers(Worker& worker) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CloseToHelpers(Worker& worker) ABSL_LOCKS_EXCLUDED(mutex_);
  // Helps with another's batch until that is done or the helper is called back.
  void Help(int member, const Helpers::Place& place) ABSL_LOCKS_EXCLUDED(mutex_);
  void RunBatch(Worker& worker) ABSL_LOCKS_EXCLUDED(mutex_);
  void Finish(std::vector<Finished>& finished) ABSL_LOCKS_EXCLUDED(mutex_);
  void WakeWorker() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Outlook OutlookOf(int lane, Clock::time_point now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Queue& queue(int lane) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    CHECK_THAT(lane >= 0 && lane < static_cast<int>(queues_.size()));
    return queues_[static_cast<size_t>(lane)];
  }
  // Queues that hold a job.
  int CountWaiting() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  std::vector<Lane> lanes_;  // Their factories are used by one worker after the other.
  absl::Status status_;      // Constant once the constructor is done.

  mutable Mutex mutex_;
  Condition work_;  // What an idle worker waits for: the queue has changed, or `stop_`.
  Condition done_;  // `open_` became 0, or a worker is ready, or warm.
  std::vector<Queue> queues_ ABSL_GUARDED_BY(mutex_);  // By lane.
  FairShare share_ ABSL_GUARDED_BY(mutex_);
  Running running_ ABSL_GUARDED_BY(mutex_);   // With what lanes were charged.
  int64_t open_ ABSL_GUARDED_BY(mutex_) = 0;  // Jobs accepted whose `done` has not returned.
  // Workers with neither a batch nor a helper's place.
  int idle_ ABSL_GUARDED_BY(mutex_);
  int asleep_ ABSL_GUARDED_BY(mutex_) = 0;
  Helpers helpers_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Crew>> crews_;  // By lead.
  // A helper is to come back, for what has arrived; the first that sees it takes it. Looked at by
  // all helpers that spin: on a cache line of its own.
  alignas(64) std::atomic<bool> called_back_ = false;
  // Workers that have tried to make their executors, and that have warmed them up.
  alignas(64) int ready_ ABSL_GUARDED_BY(mutex_) = 0;
  int warm_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace attnd
