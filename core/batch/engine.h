#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "core/batch/cost_model.h"
#include "core/batch/job.h"
#include "core/batch/limits.h"

namespace attnd {

// Workers that pull batches from bounded queues, a lane for each model. See core/DESIGN.md.
// Thread-safe.
class Engine {
 public:
  // A queue with bounds of its own, and what its batches run on. Batches hold jobs of one lane.
  struct Lane {
    BatchLimits batch = {};
    QueueLimits queue = {};
    // Of the workers' time, while several lanes have work: a lane of weight 2 gets twice what one
    // of weight 1 does (FairShare). Above 0.
    double weight = 1;
    // What attention costs beside the other layers, until it is learned (CostModel). 0: rows say
    // all.
    double row_a_pair = CostModel::kRowAPair;
    // Called once for each worker, on its thread.
    ExecutorFactory executors;
  };
  struct Options {
    int workers = 1;  // One per core; each runs its primitives on its own thread.
    // Workers with nothing to do help with the batches of others, as many as there are so many rows
    // for each. 0: never.
    int32_t split_rows = 8;
    // Called after each batch and before its jobs' `done`, so that whoever has an answer finds it
    // counted. On the worker's thread, so by several at once, with no lock held. May be empty.
    absl::AnyInvocable<void(const BatchReport&) const> on_batch = {};
  };
  // Starts the workers; returns when each has made its executors, one worker after the other, and
  // warmed them up, all at the same time. At least one lane; a lane is named by its place.
  Engine(Options options, std::vector<Lane> lanes);
  // An engine of one lane.
  Engine(Options options, Lane lane);
  // Drains without limit of time, then joins.
  ~Engine();

  // OK if every worker has its executors and they are warm. Else why not (a factory threw, or gave
  // null), and Submit refuses with that.
  const absl::Status& status() const;

  // Takes all jobs or none. On error, no `done` is called and `jobs` is left as it was:
  // kResourceExhausted when the lane's queue is full (the message names the bound), kUnavailable
  // after Drain, kDeadlineExceeded for a deadline passed, kCancelled for a set flag,
  // kInvalidArgument for more rows than a batch may hold. On OK, `jobs` is empty and each job's
  // `done` will be called exactly once.
  [[nodiscard]] absl::Status Submit(int lane, std::vector<std::unique_ptr<Job>>& jobs);
  // What Submit would say now, for who would rather know before making room for results.
  [[nodiscard]] absl::Status Check(int lane, std::span<const std::unique_ptr<Job>> jobs) const;

  // Drops queued jobs whose `cancelled` flag is set; their `done` is called (kCancelled) before
  // this returns.
  void ReapCancelled();

  // No more Submit. Waits until everything accepted is done, or until `deadline`; then what no
  // worker is running is given kUnavailable, and so is what has steps left when its running step
  // ends. True if all was finished in time: every `done` has returned.
  bool Drain(Clock::time_point deadline);

  // Of what waits, not of what runs.
  QueueDepth depth(int lane) const;
  // How long what waits would keep all workers busy, as expected.
  double expected_seconds(int lane) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace attnd
