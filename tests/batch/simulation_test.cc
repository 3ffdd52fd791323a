// Goal: what the queue promises holds in any order of events. Method: 20,000 seeds of a simulated
// life in virtual time (simulation.h), and, so that the simulation is known to see what it looks
// for, seeded mutants: a queue or a policy with one fault each, all of which it must find.
// ATTND_SIMULATION_SEED=N runs the seed of a failure alone.
#include "tests/batch/simulation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace attnd {
namespace {

constexpr uint64_t kSeeds = 20'000;
// Every mutant below is found within the first hundred.
constexpr uint64_t kSeedsForMutant = 2'000;

TEST(SimulationTest, EveryPromiseHoldsForEverySeed) {
  Coverage coverage;
  uint64_t first = 0, last = kSeeds;
  if (const char* seed = std::getenv("ATTND_SIMULATION_SEED")) {
    first = std::strtoull(seed, nullptr, 10);
    last = first + 1;
  }
  for (uint64_t seed = first; seed < last; ++seed) {
    const std::string violation = Simulation<Queue>(seed, &Decide, coverage).Run();
    ASSERT_EQ(violation, "") << "replay with ATTND_SIMULATION_SEED=" << seed;
  }
  if (last - first < kSeeds) return;
  // The seeds reach what they are meant to reach.
  RecordProperty("steps", std::to_string(coverage.steps));
  EXPECT_GT(coverage.steps, 400'000);
  EXPECT_GT(coverage.splits, 10'000);
  EXPECT_GT(coverage.abandoned, 1'000);
  EXPECT_GT(coverage.delays, 10'000);
  EXPECT_GT(coverage.refusals, 10'000);
  EXPECT_GT(coverage.refused_for_time, 5'000);
  EXPECT_GT(coverage.ok, 100'000);
  EXPECT_GT(coverage.cancelled, 10'000);
  EXPECT_GT(coverage.expired, 5'000);
  EXPECT_GT(coverage.failed, 10'000);
  EXPECT_GT(coverage.unavailable, 1'000);
}

// The first violation that the simulation reports; empty if it finds none.
template <typename QueueType = Queue>
std::string FirstViolation(DecideFunction decide = &Decide) {
  Coverage coverage;
  for (uint64_t seed = 0; seed < kSeedsForMutant; ++seed) {
    const std::string violation = Simulation<QueueType>(seed, decide, coverage).Run();
    if (!violation.empty()) return absl::StrCat("seed ", seed, " ", violation);
  }
  return "";
}

#define EXPECT_FOUND(violation, message)                               \
  do {                                                                 \
    const std::string found = (violation);                             \
    RecordProperty(#violation, found);                                 \
    EXPECT_NE(found, "");                                              \
    EXPECT_NE(found.find(message), std::string::npos) << found << "."; \
  } while (false)

// Policies with one fault each.

void IgnoreDeadlines(std::span<const Waiting> queue, Clock::time_point now,
                     const BatchLimits& limits, int workers_idle, Decision& decision) {
  std::vector<Waiting> changed(queue.begin(), queue.end());
  for (Waiting& job : changed) job.deadline = Clock::time_point::max();
  Decide(changed, now, limits, workers_idle, decision);
}

void IgnoreCancels(std::span<const Waiting> queue, Clock::time_point now, const BatchLimits& limits,
                   int workers_idle, Decision& decision) {
  std::vector<Waiting> changed(queue.begin(), queue.end());
  for (Waiting& job : changed) job.cancelled = false;
  Decide(changed, now, limits, workers_idle, decision);
}

void TakeOneMoreThanFits(std::span<const Waiting> queue, Clock::time_point now,
                         const BatchLimits& limits, int workers_idle, Decision& decision) {
  Decide(queue, now, limits, workers_idle, decision);
  auto& verdicts = decision.verdicts;
  if (std::find(verdicts.begin(), verdicts.end(), Verdict::kRun) == verdicts.end()) return;
  const auto next = std::find(verdicts.begin(), verdicts.end(), Verdict::kWait);
  if (next != verdicts.end()) *next = Verdict::kRun;
}

void PassTheSequenceBudget(std::span<const Waiting> queue, Clock::time_point now,
                           const BatchLimits& limits, int workers_idle, Decision& decision) {
  BatchLimits changed = limits;
  changed.sequences_max += 1;
  Decide(queue, now, changed, workers_idle, decision);
}

void TakeTheNewestFirst(std::span<const Waiting> queue, Clock::time_point now,
                        const BatchLimits& limits, int workers_idle, Decision& decision) {
  std::vector<Waiting> changed(queue.begin(), queue.end());
  const auto first_new = std::find_if(changed.begin(), changed.end(),
                                      [](const Waiting& job) { return !job.continuing; });
  const auto continuing = first_new - changed.begin();
  std::reverse(first_new, changed.end());
  Decide(changed, now, limits, workers_idle, decision);
  std::reverse(decision.verdicts.begin() + continuing, decision.verdicts.end());
}

void TakeNewJobsBeforeThoseInProgress(std::span<const Waiting> queue, Clock::time_point now,
                                      const BatchLimits& limits, int workers_idle,
                                      Decision& decision) {
  std::vector<Waiting> changed(queue.begin(), queue.end());
  const auto first_new = std::find_if(changed.begin(), changed.end(),
                                      [](const Waiting& job) { return !job.continuing; });
  const auto count_new = changed.end() - first_new;
  std::rotate(changed.begin(), first_new, changed.end());
  Decide(changed, now, limits, workers_idle, decision);
  std::rotate(decision.verdicts.begin(), decision.verdicts.begin() + count_new,
              decision.verdicts.end());
}

void LetJobsInProgressWait(std::span<const Waiting> queue, Clock::time_point now,
                           const BatchLimits& limits, int workers_idle, Decision& decision) {
  std::vector<Waiting> changed(queue.begin(), queue.end());
  for (Waiting& job : changed) job.continuing = false;
  Decide(changed, now, limits, workers_idle, decision);
}

void SleepThroughTheDelay(std::span<const Waiting> queue, Clock::time_point now,
                          const BatchLimits& limits, int workers_idle, Decision& decision) {
  Decide(queue, now, limits, workers_idle, decision);
  decision.wake = Clock::time_point::max();
}

void WaitTooLong(std::span<const Waiting> queue, Clock::time_point now, const BatchLimits& limits,
                 int workers_idle, Decision& decision) {
  BatchLimits changed = limits;
  changed.delay_max += Clock::duration(1);
  Decide(queue, now, changed, workers_idle, decision);
}

TEST(SimulationTest, FindsEachFaultyPolicy) {
  EXPECT_FOUND(FirstViolation(IgnoreDeadlines), "started after its deadline");
  EXPECT_FOUND(FirstViolation(IgnoreCancels), "started after it was cancelled");
  EXPECT_FOUND(FirstViolation(TakeOneMoreThanFits), "a batch of");
  EXPECT_FOUND(FirstViolation(PassTheSequenceBudget), "too many sequences");
  EXPECT_FOUND(FirstViolation(TakeTheNewestFirst), "was overtaken");
  EXPECT_FOUND(FirstViolation(TakeNewJobsBeforeThoseInProgress), "before one in progress");
  EXPECT_FOUND(FirstViolation(LetJobsInProgressWait), "waits longer than it may");
  EXPECT_FOUND(FirstViolation(SleepThroughTheDelay), "");
  EXPECT_FOUND(FirstViolation(WaitTooLong), "a worker idles");
}

// Queues with one fault each. The simulation calls the functions that hide Queue's.

struct ForgetsJobsInProgress : Queue {
  using Queue::Queue;
  void Complete(const absl::Status& step, Clock::time_point now, Batch& batch,
                std::vector<Finished>& finished) {
    std::erase_if(batch.jobs, [](const std::unique_ptr<Job>& job) { return job->steps > 1; });
    Queue::Complete(step, now, batch, finished);
  }
};

struct HidesFailures : Queue {
  using Queue::Queue;
  void Complete(const absl::Status&, Clock::time_point now, Batch& batch,
                std::vector<Finished>& finished) {
    Queue::Complete(absl::OkStatus(), now, batch, finished);
  }
};

struct LosesJobsWhenFull : Queue {
  using Queue::Queue;
  absl::Status Submit(std::vector<std::unique_ptr<Job>>& jobs, Clock::time_point now,
                      const Outlook& outlook) {
    const absl::Status status = Queue::Submit(jobs, now, outlook);
    if (absl::IsResourceExhausted(status)) jobs.pop_back();
    return status;
  }
};

struct LosesCancelledJobs : Queue {
  using Queue::Queue;
  void ReapCancelled(std::vector<Finished>&) {
    std::vector<Finished> lost;
    Queue::ReapCancelled(lost);
  }
};

struct AnswersTwice : Queue {
  using Queue::Queue;
  absl::Status Submit(std::vector<std::unique_ptr<Job>>& jobs, Clock::time_point now,
                      const Outlook& outlook) {
    for (std::unique_ptr<Job>& job : jobs) {
      job->done = [done = std::move(job->done)](std::unique_ptr<Job> ended,
                                                const absl::Status& status) mutable {
        done(nullptr, status);
        done(std::move(ended), status);
      };
    }
    return Queue::Submit(jobs, now, outlook);
  }
};

struct AnswersRefusedJobs : Queue {
  using Queue::Queue;
  absl::Status Submit(std::vector<std::unique_ptr<Job>>& jobs, Clock::time_point now,
                      const Outlook& outlook) {
    const absl::Status status = Queue::Submit(jobs, now, outlook);
    if (!status.ok()) jobs[0]->done(nullptr, status);
    return status;
  }
};

struct HasNoBounds : Queue {
  HasNoBounds(const BatchLimits& batch, const QueueLimits& limits, DecideFunction decide)
      : Queue(batch,
              {.rows_max = 1 << 30,
               .jobs_max = 1 << 30,
               .bytes_max = 1 << 30,
               .wait_max = limits.wait_max},
              decide) {}
};

struct AbandonsWithTheFirst : Queue {
  using Queue::Queue;
  bool IsAbandoned(const Batch& batch, Clock::time_point now) const {
    return *batch.jobs[0]->cancelled || batch.jobs[0]->deadline <= now;
  }
};

struct KnowsNoPriorities : Queue {
  using Queue::Queue;
  absl::Status Submit(std::vector<std::unique_ptr<Job>>& jobs, Clock::time_point now,
                      const Outlook& outlook) {
    for (const auto& job : jobs) job->priority = Priority::kNormal;
    return Queue::Submit(jobs, now, outlook);
  }
};

struct MixesCallersUp : Queue {
  using Queue::Queue;
  absl::Status Submit(std::vector<std::unique_ptr<Job>>& jobs, Clock::time_point now,
                      const Outlook& outlook) {
    for (const auto& job : jobs) job->caller = 1 + static_cast<int32_t>(now_++ % 3);
    return Queue::Submit(jobs, now, outlook);
  }
  int64_t now_ = 0;
};

struct AcceptsWhatWillBeLate : Queue {
  using Queue::Queue;
  absl::Status Submit(std::vector<std::unique_ptr<Job>>& jobs, Clock::time_point now,
                      const Outlook& outlook) {
    Outlook rosy = outlook;
    rosy.workers = 1'000;
    return Queue::Submit(jobs, now, rosy);
  }
};

struct RefusesWhatWouldBeInTime : Queue {
  using Queue::Queue;
  absl::Status Submit(std::vector<std::unique_ptr<Job>>& jobs, Clock::time_point now,
                      const Outlook& outlook) {
    Outlook gloomy = outlook;
    gloomy.running += 1;
    return Queue::Submit(jobs, now, gloomy);
  }
};

struct RefusesForTimeWhereNothingWaits : Queue {
  using Queue::Queue;
  absl::Status Submit(std::vector<std::unique_ptr<Job>>& jobs, Clock::time_point now,
                      const Outlook& outlook) {
    double seconds = outlook.running;
    for (const auto& job : jobs) seconds += cost().Seconds(Work::OfSequence(job->rows));
    const std::chrono::duration<double> left = jobs[0]->deadline - now;
    if (!empty() || left.count() > seconds / outlook.workers) {
      return Queue::Submit(jobs, now, outlook);
    }
    absl::Status status = absl::ResourceExhaustedError("");
    status.SetPayload(kNotInTime, absl::Cord());
    return status;
  }
};

struct AbandonsNothing : Queue {
  using Queue::Queue;
  void Abandon(std::vector<Finished>&) { Close(); }
};

struct GoesOnAcceptingWhileDraining : Queue {
  using Queue::Queue;
  void Close() {}
};

TEST(SimulationTest, FindsEachFaultyQueue) {
  EXPECT_FOUND(FirstViolation<ForgetsJobsInProgress>(), "");
  EXPECT_FOUND(FirstViolation<HidesFailures>(), "");
  EXPECT_FOUND(FirstViolation<LosesJobsWhenFull>(), "took jobs that it refused");
  EXPECT_FOUND(FirstViolation<LosesCancelledJobs>(), "miscounts");
  EXPECT_FOUND(FirstViolation<AnswersTwice>(), "was answered twice");
  EXPECT_FOUND(FirstViolation<AnswersRefusedJobs>(), "was answered inside Submit");
  EXPECT_FOUND(FirstViolation<HasNoBounds>(), "accepted more than the queue may hold");
  EXPECT_FOUND(FirstViolation<AbandonsWithTheFirst>(), "abandons what somebody waits for");
  EXPECT_FOUND(FirstViolation<KnowsNoPriorities>(), "");
  EXPECT_FOUND(FirstViolation<MixesCallersUp>(), "");
  EXPECT_FOUND(FirstViolation<AcceptsWhatWillBeLate>(), "will not be done in time");
  EXPECT_FOUND(FirstViolation<RefusesWhatWouldBeInTime>(), "refused without a reason");
  EXPECT_FOUND(FirstViolation<RefusesForTimeWhereNothingWaits>(), "refused without a reason");
  EXPECT_FOUND(FirstViolation<AbandonsNothing>(), "");
  EXPECT_FOUND(FirstViolation<GoesOnAcceptingWhileDraining>(), "");
}

}  // namespace
}  // namespace attnd
