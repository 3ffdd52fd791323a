#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "core/batch/caller_turns.h"
#include "core/batch/cost_model.h"
#include "core/batch/job.h"
#include "core/batch/limits.h"
#include "core/batch/outlook.h"
#include "core/batch/policy.h"

namespace attnd {

// What one worker runs next. Reused from batch to batch, so that its capacity is.
struct Batch {
  std::vector<std::unique_ptr<Job>> jobs;
  int32_t rows = 0;
  Work work = {};
  Clock::time_point started{};
};

// A job that left the queue for good, with what its `done` is to be told.
struct Finished {
  std::unique_ptr<Job> job;
  absl::Status status;
  // Whose results are also this job's, to be copied; a later one of the list. Null: none.
  const Job* computed_by = nullptr;
};

// Copies what is shared, calls each `done` and empties the list. Not under a lock: results are
// large, and what is called may submit again.
void CallDone(std::vector<Finished>& finished);

// Which jobs wait, in which order, and what becomes of them. No clock, no lock, no thread: the
// engine puts all three around it, and the simulation in the tests none. Each accepted job ends in
// exactly one `finished` list, unless it is inside a Batch that is never completed.
//
// Jobs in progress go first. New ones go by priority; within one, callers take turns (CallerTurns);
// and the jobs of a caller go by deadline, or by when they have waited for wait_max if that is
// sooner, then as they were submitted. A job is refused when it is expected (CostModel, Outlook) to
// wait longer than wait_max, or to be done after its deadline. What finds nothing waiting is never
// refused for that: so an expectation that is wrong is put right by the batch that it makes.
//
// Of jobs with the same key the first is the one that is queued and run. Those that come while it
// waits or runs share its result: they count among the queue's jobs and bytes, not its rows, until
// they are answered. One that would go before the first, while that waits, leads in its place. One
// that dies leaves the others alone; if it was the first, the next leads.
class Queue {
 public:
  Queue(const BatchLimits& batch, const QueueLimits& limits, DecideFunction decide = &Decide,
        double row_a_pair = CostModel::kRowAPair);

  // Takes all jobs or none, see Engine::Submit.
  [[nodiscard]] absl::Status Submit(std::vector<std::unique_ptr<Job>>& jobs, Clock::time_point now,
                                    const Outlook& outlook = {});
  // What Submit would say now.
  [[nodiscard]] absl::Status Check(std::span<const std::unique_ptr<Job>> jobs,
                                   Clock::time_point now, const Outlook& outlook = {}) const;

  // For a worker with nothing to do: fills `batch` (empty at the call) with what to run now, and
  // moves what has expired or was cancelled to `finished`. When both stay empty, it returns the
  // time to ask again at, if nothing changes before.
  Clock::time_point Take(Clock::time_point now, int workers_idle, Batch& batch,
                         std::vector<Finished>& finished);

  // After the step: counts it, learns from the time that it took, moves ended jobs to `finished`
  // and the others back into the queue, and empties `batch`.
  void Complete(const absl::Status& step, Clock::time_point now, Batch& batch,
                std::vector<Finished>& finished);

  // Whether all jobs of a batch that runs, and all that share with them, are cancelled or expired.
  // A step that ends with kCancelled for that ends each of them as it deserves; who came to share
  // meanwhile is queued.
  bool IsAbandoned(const Batch& batch, Clock::time_point now) const;

  // Moves the cancelled ones among the waiting jobs to `finished`.
  void ReapCancelled(std::vector<Finished>& finished);

  // From now on nothing is accepted, and no batch waits to become fuller.
  void Close() { closed_ = true; }
  // Closes, and ends all waiting jobs with kUnavailable, and running ones after their step unless
  // it was the last.
  void Abandon(std::vector<Finished>& finished);

  bool empty() const { return waiting_.empty(); }
  // Of what waits, for a worker or for another's result; not of what runs.
  const QueueDepth& depth() const { return depth_; }

  // Seconds of one worker that what waits will take; 0 while nothing is known.
  double seconds() const { return cost_.Seconds(work_); }
  // What batches cost. The engine tells it who helped.
  const CostModel& cost() const { return cost_; }
  CostModel& cost() { return cost_; }

 private:
  // To its place among the new jobs.
  void Push(std::unique_ptr<Job> job);
  // By when a job is to be served: its deadline, but no later than wait_max after it came, so that
  // it cannot be overtaken for ever.
  Clock::time_point DueOf(const Job& job, Clock::time_point submitted) const;
  // Of two new jobs of one caller.
  bool GoesBefore(const Job& job, const Job& other) const;
  void SortNew();
  double TurnCost(const Job& job) const;
  // Seconds of one worker that are spent before jobs like `job`, submitted now, which ask for `own`
  // seconds: until the first one's turn, and until the last one's but for their own.
  struct Ahead {
    double to_begin = 0, to_end = 0;
  };
  Ahead SecondsAhead(const Job& job, double own, Clock::time_point now) const;
  absl::Status CheckWait(std::span<const std::unique_ptr<Job>> jobs, const Work& work,
                         Clock::time_point now, const Outlook& outlook) const;
  // Adds a job of a key that is in flight.
  void Share(std::unique_ptr<Job> job);
  // Fills order_, and view_ in that order.
  void Arrange();
  void Count(const Job& job, int sign);
  void CountSharer(const Job& job, int sign);
  // Whether it is to share the result of a job in flight.
  bool HasLeader(const Job& job) const;
  // Moves the dead ones among all sharers to `finished`.
  void ReapSharers(Clock::time_point now, std::vector<Finished>& finished);
  // Takes the first of a dead job's sharers to lead the others.
  std::unique_ptr<Job> TakeHeir(Job& leader);
  // What Complete does with an abandoned batch's job.
  void EndAbandoned(std::unique_ptr<Job> job, Clock::time_point now,
                    std::vector<Finished>& finished);
  // Puts the first sharer of a dead job that waits in its place.
  void Inherit(std::unique_ptr<Job>& leader, const absl::Status& death,
               std::vector<Finished>& finished);
  // Moves a job that waits, and with it all that share it, to `finished`.
  void Drop(std::unique_ptr<Job> job, const absl::Status& why, std::vector<Finished>& finished);
  // Moves the sharers of a job that has ended with `status` to `finished`; nobody shares it any
  // more.
  void FinishSharers(Job& leader, const absl::Status& status, std::vector<Finished>& finished);
  // Visits each waiting job's index; what `visit` moved away is closed up behind it.
  template <typename Visit>
  void Sweep(Visit visit);
  void Leave(Verdict verdict, std::unique_ptr<Job> job, Clock::time_point now, Batch& batch,
             std::vector<Finished>& finished);

  const BatchLimits batch_limits_;
  const QueueLimits limits_;
  const DecideFunction decide_;
  const double row_a_pair_;
  bool closed_ = false;
  bool abandoned_ = false;

  // The first `continuing_` are in progress, in the order in which they came back, so that they
  // take turns; then the new ones by priority, deadline and submission.
  std::vector<std::unique_ptr<Job>> waiting_;
  size_t continuing_ = 0;
  bool sorted_ = true;  // Whether they stand so; one that takes another's place may not.
  QueueDepth depth_;
  Work work_;  // Of the same.
  CallerTurns turns_;
  CostModel cost_;
  // The first job of each key, waiting or running; and how many share with any of them.
  std::unordered_map<std::string, Job*> leaders_;
  int64_t sharers_ = 0;

  // Scratch of Take: the places in waiting_ in the order in which they are to run.
  std::vector<size_t> order_;
  std::vector<CallerTurns::Waiting> line_;
  std::vector<Verdict> verdicts_;  // By place.
  std::vector<Waiting> view_;
  Decision decision_;
};

}  // namespace attnd
