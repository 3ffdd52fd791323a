#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "core/batch/job.h"

namespace attnd {

// A batch's budget: what one step of one worker may hold.
struct BatchLimits {
  int32_t rows_max = 4096;       // Token rows.
  int32_t sequences_max = 1024;
  Clock::duration delay_max{0};  // How long a batch that is not full waits for more. 0: it never waits.
};

// The queue's bounds. What would pass one of them is refused at once.
struct QueueLimits {
  int64_t rows_max = 16'384;
  int64_t jobs_max = 256;
  int64_t bytes_max = 64 << 20;
};

struct QueueDepth {
  int64_t rows = 0, jobs = 0, bytes = 0;
};

// Workers that pull batches from one bounded queue. See core/DESIGN.md. Thread-safe.
class Engine {
 public:
  struct Options {
    int workers = 1;  // One per core; each runs its primitives on its own thread.
    BatchLimits batch;
    QueueLimits queue;
    // Called after each batch, on the worker's thread, with no lock held. May be empty.
    absl::AnyInvocable<void(const BatchReport&) const> on_batch;
  };
  // Starts the workers; returns when each has made its executor.
  Engine(Options options, ExecutorFactory executors);
  // Drains without limit of time, then joins.
  ~Engine();

  // Takes all jobs or none. On error, no `done` is called and `jobs` is left as it was: kResourceExhausted when the
  // queue is full (the message names the bound), kUnavailable after Drain, kDeadlineExceeded for a deadline passed.
  // On OK, `jobs` is empty and each job's `done` will be called exactly once.
  [[nodiscard]] absl::Status Submit(std::vector<std::unique_ptr<Job>>& jobs);

  // Drops queued jobs whose `cancelled` flag is set; their `done` is called (kCancelled) before this returns.
  void ReapCancelled();

  // No more Submit. Waits until everything accepted is done, or until `deadline`; then what has not started is given
  // kUnavailable. True if all was finished in time. May be called once.
  bool Drain(Clock::time_point deadline);

  QueueDepth depth() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace attnd
