#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "core/batch/job.h"
#include "core/batch/limits.h"
#include "core/batch/policy.h"

namespace attnd {

// What one worker runs next. Reused from batch to batch, so that its capacity is.
struct Batch {
  std::vector<std::unique_ptr<Job>> jobs;
  int32_t rows = 0;
};

// A job that left the queue for good, with what its `done` is to be told.
struct Finished {
  std::unique_ptr<Job> job;
  absl::Status status;
};

// Calls each `done` and empties the list. Not under a lock: what is called may submit again.
void CallDone(std::vector<Finished>& finished);

// Which jobs wait, in which order, and what becomes of them. No clock, no lock, no thread: the
// engine puts all three around it, and the simulation in the tests none. Each accepted job ends in
// exactly one `finished` list, unless it is inside a Batch that is never completed.
class Queue {
 public:
  Queue(const BatchLimits& batch, const QueueLimits& limits, DecideFunction decide = &Decide);

  // Takes all jobs or none, see Engine::Submit.
  [[nodiscard]] absl::Status Submit(std::vector<std::unique_ptr<Job>>& jobs, Clock::time_point now);

  // For a worker with nothing to do: fills `batch` (empty at the call) with what to run now, and
  // moves what has expired or was cancelled to `finished`. When both stay empty, it returns the
  // time to ask again at, if nothing changes before.
  Clock::time_point Take(Clock::time_point now, int workers_idle, Batch& batch,
                         std::vector<Finished>& finished);

  // After the step: counts it, moves ended jobs to `finished` and the others back into the queue,
  // and empties `batch`.
  void Complete(const absl::Status& step, Clock::time_point now, Batch& batch,
                std::vector<Finished>& finished);

  // Moves the cancelled ones among the waiting jobs to `finished`.
  void ReapCancelled(std::vector<Finished>& finished);

  // From now on nothing is accepted, and no batch waits to become fuller.
  void Close() { closed_ = true; }
  // Closes, and ends all waiting jobs with kUnavailable, and running ones after their step unless
  // it was the last.
  void Abandon(std::vector<Finished>& finished);

  bool empty() const { return waiting_.empty(); }
  // Of what waits, not of what runs.
  const QueueDepth& depth() const { return depth_; }

 private:
  void Push(std::unique_ptr<Job> job, size_t position);
  void Count(const Job& job, int sign);
  // Visits each waiting job's index; what `visit` moved away is closed up behind it.
  template <typename Visit>
  void Sweep(Visit visit);
  void Leave(Verdict verdict, std::unique_ptr<Job> job, Clock::time_point now, Batch& batch,
             std::vector<Finished>& finished);

  const BatchLimits batch_limits_;
  const QueueLimits limits_;
  const DecideFunction decide_;
  bool closed_ = false;
  bool abandoned_ = false;

  // The first `continuing_` are in progress, in the order in which they came back, so that they
  // take turns; then the new ones in the order of submission.
  std::vector<std::unique_ptr<Job>> waiting_;
  size_t continuing_ = 0;
  QueueDepth depth_;

  // Scratch of Take.
  std::vector<Waiting> view_;
  Decision decision_;
};

}  // namespace attnd
