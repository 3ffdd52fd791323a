#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/batch/job.h"
#include "core/batch/limits.h"

namespace attnd {

// What the policy sees of a job in the queue.
struct Waiting {
  int32_t rows = 0;
  bool continuing = false;  // Has run a step and has more to run.
  bool cancelled = false;
  Clock::time_point deadline = Clock::time_point::max();
  // The earliest of the jobs that share its result: for them, too, no batch waits too long.
  Clock::time_point sharers_deadline = Clock::time_point::max();
  Clock::time_point queued_at{};
};

enum class Verdict : uint8_t { kWait, kRun, kCancelled, kExpired };

struct Decision {
  std::vector<Verdict> verdicts;  // One for each job of the queue.
  // When to ask again if nothing changes before. max(): only a change can matter.
  Clock::time_point wake = Clock::time_point::max();
};

// What an idle worker does next. Pure: no clock, no lock, no thread, so that every corner of the
// batching policy is a three-line test; only `decision` is written, whose capacity is reused.
// `queue` is in the order in which jobs are to run: those in progress first, then the new ones as
// Queue ranks them. `workers_idle` counts the asking one.
//
// - A job that is cancelled, or whose deadline is not after `now`, is dropped wherever it stands.
// It never runs.
// - What runs is a prefix of the other jobs. Nobody overtakes in it, so a long job cannot be
// starved by short ones behind it;
//   the price is that a batch leaves with room that a later job would have fitted in.
// - The batch is within rows_max and sequences_max. The first job always fits, so the queue always
// moves.
// - Jobs in progress go before new ones: what they hold is given back soonest, and a generation's
// pace does not depend
//   on what arrives. They cannot starve the new ones either, for the steps they have left are
//   finite, and no new job joins them while they fill the batches.
// - When workers are idle and the queue would not fill a batch for each, a worker takes about its
// share of the rows:
//   two sequences on two cores are done in half the time that one batch of both would take.
// - Of a backlog that will keep every worker busy, it takes its part of what is left, at least 512
//   rows, so that all workers finish together; never more than about share_max.
// - It waits only to gather a fuller batch: no longer than delay_max after the oldest job was
// queued, never while a job
//   in progress or a full batch is there, and never into a job's deadline.
void Decide(std::span<const Waiting> queue, Clock::time_point now, const BatchLimits& limits,
            int workers_idle, Decision& decision);

// The type of Decide, for what is tested with others in its place.
using DecideFunction = void (*)(std::span<const Waiting>, Clock::time_point, const BatchLimits&,
                                int, Decision&);

}  // namespace attnd
