#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "core/batch/job.h"
#include "core/batch/limits.h"

namespace attnd {

// Workers that pull batches from one bounded queue. See core/DESIGN.md. Thread-safe.
class Engine {
 public:
  struct Options {
    int workers = 1;  // One per core; each runs its primitives on its own thread.
    BatchLimits batch = {};
    QueueLimits queue = {};
    // Called after each batch and before its jobs' `done`, so that whoever has an answer finds it
    // counted. On the worker's thread, so by several at once, with no lock held. May be empty.
    absl::AnyInvocable<void(const BatchReport&) const> on_batch = {};
  };
  // Starts the workers; returns when each has made its executor. They are made one after the other.
  Engine(Options options, ExecutorFactory executors);
  // Drains without limit of time, then joins.
  ~Engine();

  // OK if every worker has its executor. Else why not (the factory threw, or gave null), and Submit
  // refuses with that.
  const absl::Status& status() const;

  // Takes all jobs or none. On error, no `done` is called and `jobs` is left as it was:
  // kResourceExhausted when the queue is full (the message names the bound), kUnavailable after
  // Drain, kDeadlineExceeded for a deadline passed, kCancelled for a set flag, kInvalidArgument for
  // more rows than a batch may hold. On OK, `jobs` is empty and each job's `done` will be called
  // exactly once.
  [[nodiscard]] absl::Status Submit(std::vector<std::unique_ptr<Job>>& jobs);

  // Drops queued jobs whose `cancelled` flag is set; their `done` is called (kCancelled) before
  // this returns.
  void ReapCancelled();

  // No more Submit. Waits until everything accepted is done, or until `deadline`; then what no
  // worker is running is given kUnavailable, and so is what has steps left when its running step
  // ends. True if all was finished in time: every `done` has returned.
  bool Drain(Clock::time_point deadline);

  // Of what waits, not of what runs.
  QueueDepth depth() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace attnd
