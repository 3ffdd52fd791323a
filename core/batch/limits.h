#pragma once

#include <cstdint>

#include "core/batch/job.h"

namespace attnd {

// A batch's budget: what one step of one worker may hold.
struct BatchLimits {
  int32_t rows_max = 4096;  // Token rows.
  int32_t sequences_max = 1024;
  // How long a batch that is not full waits for more. 0: it never waits.
  Clock::duration delay_max{0};
  // Rows, about, that a batch is made of while there are more. Queue lowers it while several
  // callers wait, since each waits for the batch of another.
  int64_t share_max = INT64_MAX;
  // Workers that pull from the queue, idle or not. Engine sets it.
  int32_t workers = 1;
};

// The queue's bounds, on what waits: what runs has left it. What would pass one of them is refused
// at once. Jobs in progress wait between their steps, too, and are never refused, so that the queue
// may hold up to one batch for each worker more than this.
struct QueueLimits {
  int64_t rows_max = 16'384;
  int64_t jobs_max = 256;
  int64_t bytes_max = 64 << 20;
  // How long what waits before a job may keep the workers busy, as expected.
  Clock::duration wait_max = Clock::duration::max();
};

// Payloads of a Status by which a queue refuses jobs for the time that they would take: they would
// wait for longer than wait_max, or be done after their deadline. Without either,
// kResourceExhausted is for another bound.
inline constexpr char kWaitTooLong[] = "attnd/wait-too-long";
inline constexpr char kNotInTime[] = "attnd/not-in-time";

struct QueueDepth {
  int64_t rows = 0, jobs = 0, bytes = 0;
};

}  // namespace attnd
