#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "core/batch/crew.h"
#include "core/layers/attend.h"
#include "core/layers/self_attention.h"
#include "core/model/task.h"

namespace attnd {

// Deadlines and waits are measured on a clock that nobody sets.
using Clock = std::chrono::steady_clock;

// What a job computes. monostate is for tests of the queue, which run no model.
using Task = std::variant<std::monostate, EncodeTask, AttendTask, SelfAttentionTask>;

// Of a job in its lane: all that is more urgent goes first. Jobs of one priority go by caller, then
// by deadline.
enum class Priority : uint8_t { kHigh, kNormal, kLow };

struct JobTimings {
  Clock::time_point submitted{};
  Clock::time_point started{};   // Of the first step.
  Clock::time_point finished{};  // Of the last step.
  int32_t batch_rows = 0;        // Of the batch of the last step.
  int32_t batch_sequences = 0;
  bool shared = false;  // Another job, in flight at the same time, computed it.
  bool kept = false;    // It was computed for an earlier request (ResultCache).
};

// One sequence's way through the engine. A request with many inputs is many jobs, submitted
// together.
struct Job {
  // Called exactly once, from a worker or from whoever cancels or shuts down; never under the
  // engine's lock. OK, or kCancelled, kDeadlineExceeded, kUnavailable (shut down before it was
  // finished), kInternal (the step failed).
  using Done = absl::AnyInvocable<void(std::unique_ptr<Job> job, absl::Status status)>;

  // Token rows that a step of this job adds to a batch; 1 .. BatchLimits::rows_max. Step may change
  // it for the next one.
  int32_t rows = 0;
  int32_t steps = 1;   // Steps still to run. An encoder job has one; a generation would have n.
  uint64_t bytes = 0;  // Of input and output that waiting in the queue keeps alive.
  Clock::time_point deadline = Clock::time_point::max();
  Priority priority = Priority::kNormal;
  // Who it is for: callers that wait for the same lane take turns. 0: whoever nobody knows.
  int32_t caller = 0;
  // Set by the call that owns the job when its client goes away. Shared, because the call may end
  // before the job leaves the queue. Null: cannot be cancelled.
  std::shared_ptr<const std::atomic<bool>> cancelled;
  Task task;
  // What it computes, by content (ContentKey): jobs of one queue with equal keys are computed once
  // while they are in flight together. Empty: computed by itself. Only for a job of one step.
  std::string key;
  Done done;
  JobTimings timings;
  // Jobs of the same key that wait for this one's result. The queue's own.
  std::vector<std::unique_ptr<Job>> sharers;
};

// What a worker runs batches on: a model, or in tests a stub. Made by, and used on, one worker's
// thread only, but for the parts of a batch that it has others compute.
class Executor {
 public:
  virtual ~Executor() = default;
  // Runs one step of each job, alone or with `crew`, whose members are the numbers of workers. An
  // error, or an exception, fails all of them with kInternal; but for kCancelled, when the crew has
  // said that the batch is abandoned. May set Job::steps to 1 to end a job early: the engine counts
  // down after the step.
  virtual absl::Status Step(std::span<Job* const> batch, Crew& crew) = 0;
  // Called once, before any Step, while other workers do the same or make their executors: does
  // what makes the first step slow. An error, or an exception, fails the engine.
  virtual absl::Status WarmUp() { return absl::OkStatus(); }
  // Whether Step has others compute parts of a batch.
  virtual bool splits() const { return false; }
};
using ExecutorFactory = absl::AnyInvocable<std::unique_ptr<Executor>(int worker)>;

// What the engine says about a batch that it has just run. Data alone, so that core needs no
// metrics library.
struct BatchReport {
  int lane = 0;  // See Engine::Lane.
  int32_t sequences = 0;
  int32_t rows = 0;
  double compute_seconds = 0;
  absl::Status status = {};  // Of the step, with the reason, which the jobs are not told.
};

}  // namespace attnd
