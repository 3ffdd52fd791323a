#include "core/batch/policy.h"

#include <algorithm>

#include "core/base/check.h"

namespace attnd {
namespace {

// A share is never made smaller than this. With M rows a product does M/2 FLOPs for each byte of
// f32 weights; a core that computes 100 GFLOP/s and reads 12 GB/s is bound by reading them below 16
// rows, and two workers would read them twice.
constexpr int64_t kShareRowsMin = 16;

// A backlog is not cut into smaller parts than this: dense layers reach their full speed at 512
// rows (bench/primitives_bench), so that smaller batches would only cost.
constexpr int64_t kPartRowsMin = 512;

// The jobs that are neither cancelled nor expired.
struct Live {
  int64_t rows = 0;
  int64_t jobs = 0;
  bool continuing = false;
  Clock::time_point queued_at_min = Clock::time_point::max();
  Clock::time_point deadline_min = Clock::time_point::max();
};

Live DropDead(std::span<const Waiting> queue, Clock::time_point now, Decision& decision) {
  Live live;
  for (const Waiting& job : queue) {
    if (job.cancelled) {
      decision.verdicts.push_back(Verdict::kCancelled);
    } else if (job.deadline <= now) {
      decision.verdicts.push_back(Verdict::kExpired);
    } else {
      decision.verdicts.push_back(Verdict::kWait);
      live.rows += job.rows;
      live.jobs += 1;
      live.continuing |= job.continuing;
      live.queued_at_min = std::min(live.queued_at_min, job.queued_at);
      live.deadline_min = std::min({live.deadline_min, job.deadline, job.sharers_deadline});
    }
  }
  return live;
}

// When a batch of all live jobs should leave.
Clock::time_point LeaveAt(const Live& live, Clock::time_point now, const BatchLimits& limits) {
  if (live.continuing || limits.delay_max <= Clock::duration::zero() ||
      live.rows >= limits.rows_max || live.jobs >= limits.sequences_max) {
    return now;
  }
  const Clock::time_point leave = live.queued_at_min + limits.delay_max;
  return live.deadline_min <= leave ? now : leave;
}

// How many rows one worker should take. Idle workers share what is there; of a backlog that would
// keep all busy, each takes its part of what is left, so that parts get smaller towards the end and
// all workers finish together (guided self-scheduling: Polychronopoulos and Kuck 1987).
int64_t Share(int64_t rows, int workers_idle, const BatchLimits& limits) {
  const auto part = [rows](int64_t count) { return (rows + count - 1) / count; };
  return std::min({std::max(kShareRowsMin, part(workers_idle)),
                   std::max(kPartRowsMin, part(limits.workers)), limits.share_max});
}

}  // namespace

void Decide(std::span<const Waiting> queue, Clock::time_point now, const BatchLimits& limits,
            int workers_idle, Decision& decision) {
  CHECK_THAT(workers_idle > 0);
  decision.verdicts.clear();
  decision.wake = Clock::time_point::max();

  const Live live = DropDead(queue, now, decision);
  if (live.jobs == 0) return;
  if (const Clock::time_point leave = LeaveAt(live, now, limits); leave > now) {
    decision.wake = leave;
    return;
  }

  const int64_t share = Share(live.rows, workers_idle, limits);
  int64_t rows = 0;
  int32_t sequences = 0;
  for (size_t i = 0; i < queue.size() && sequences < limits.sequences_max; ++i) {
    if (decision.verdicts[i] != Verdict::kWait) continue;
    const int64_t next = queue[i].rows;
    // Pairs with Queue::Submit, which refuses what could never fit a batch.
    CHECK_THAT(next > 0 && next <= limits.rows_max);
    if (rows + next > limits.rows_max) break;
    // Stop at whichever end of this job is nearer to the share.
    if (sequences > 0 && 2 * (share - rows) <= next) break;
    decision.verdicts[i] = Verdict::kRun;
    rows += next;
    ++sequences;
  }
}

}  // namespace attnd
