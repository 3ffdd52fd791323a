// Goal: pin down what a worker does with a queue. Method: build a queue by hand, choose the time,
// ask Decide. No clock, no threads.
#include "core/batch/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <initializer_list>
#include <vector>

namespace attnd {
namespace {

using std::chrono::milliseconds;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using enum Verdict;

constexpr Clock::time_point kStart{std::chrono::hours(1)};
constexpr Clock::time_point kNever = Clock::time_point::max();
constexpr BatchLimits kLimits{.rows_max = 100, .sequences_max = 4, .delay_max = milliseconds(0)};
constexpr BatchLimits kPatient{.rows_max = 100, .sequences_max = 4, .delay_max = milliseconds(2)};

std::vector<Waiting> Jobs(std::initializer_list<int32_t> rows) {
  std::vector<Waiting> queue;
  for (const int32_t r : rows) queue.push_back({.rows = r, .queued_at = kStart});
  return queue;
}

Decision Ask(const std::vector<Waiting>& queue, const BatchLimits& limits = kLimits,
             Clock::time_point now = kStart, int workers_idle = 1) {
  Decision decision;
  Decide(queue, now, limits, workers_idle, decision);
  return decision;
}

TEST(PolicyTest, AnEmptyQueueWaitsForAChange) {
  const Decision decision = Ask({});
  EXPECT_THAT(decision.verdicts, IsEmpty());
  EXPECT_EQ(decision.wake, kNever);
}

TEST(PolicyTest, WithoutADelayWhatIsThereRunsAtOnce) {
  EXPECT_THAT(Ask(Jobs({1})).verdicts, ElementsAre(kRun));
  EXPECT_THAT(Ask(Jobs({10, 20, 30})).verdicts, Each(kRun));
}

TEST(PolicyTest, ABatchMayBeExactlyFull) {
  EXPECT_THAT(Ask(Jobs({60, 40})).verdicts, Each(kRun));
  EXPECT_THAT(Ask(Jobs({100})).verdicts, Each(kRun));
}

TEST(PolicyTest, TheRowBudgetClosesTheBatchBeforeTheJobThatWouldPassIt) {
  EXPECT_THAT(Ask(Jobs({60, 41})).verdicts, ElementsAre(kRun, kWait));
}

TEST(PolicyTest, NobodyOvertakesAJobThatDoesNotFit) {
  EXPECT_THAT(Ask(Jobs({60, 50, 1})).verdicts, ElementsAre(kRun, kWait, kWait));
}

TEST(PolicyTest, TheSequenceBudgetClosesTheBatch) {
  EXPECT_THAT(Ask(Jobs({1, 1, 1, 1, 1})).verdicts, ElementsAre(kRun, kRun, kRun, kRun, kWait));
}

TEST(PolicyTest, ACancelledOrExpiredJobIsDroppedWhereverItStands) {
  std::vector<Waiting> queue = Jobs({10, 10, 10, 10});
  queue[0].cancelled = true;
  queue[2].deadline = kStart;  // A deadline is the first moment that is too late.
  queue[3].deadline = kStart + Clock::duration(1);
  EXPECT_THAT(Ask(queue).verdicts, ElementsAre(kCancelled, kRun, kExpired, kRun));
}

TEST(PolicyTest, ADroppedJobIsReportedAlsoBehindAFullBatch) {
  std::vector<Waiting> queue = Jobs({100, 100, 10});
  queue[2].deadline = kStart;
  EXPECT_THAT(Ask(queue).verdicts, ElementsAre(kRun, kWait, kExpired));
}

TEST(PolicyTest, DroppedJobsTakeNoneOfTheBudget) {
  std::vector<Waiting> queue = Jobs({90, 90, 10});
  queue[0].cancelled = true;
  EXPECT_THAT(Ask(queue).verdicts, ElementsAre(kCancelled, kRun, kRun));
}

TEST(PolicyTest, AJobBothCancelledAndExpiredCountsAsCancelled) {
  std::vector<Waiting> queue = Jobs({1});
  queue[0].cancelled = true;
  queue[0].deadline = kStart;
  EXPECT_THAT(Ask(queue).verdicts, ElementsAre(kCancelled));
}

TEST(PolicyTest, APartialBatchWaitsOutTheRestOfItsDelay) {
  const Decision decision = Ask(Jobs({10, 10}), kPatient, kStart + milliseconds(1));
  EXPECT_THAT(decision.verdicts, Each(kWait));
  EXPECT_EQ(decision.wake, kStart + milliseconds(2));
}

TEST(PolicyTest, APartialBatchLeavesWhenItsOldestJobHasWaitedLongEnough) {
  std::vector<Waiting> queue = Jobs({10, 10});
  queue[1].queued_at = kStart + milliseconds(1);
  EXPECT_THAT(Ask(queue, kPatient, kStart + milliseconds(2)).verdicts, Each(kRun));
}

TEST(PolicyTest, AFullBatchDoesNotWait) {
  EXPECT_THAT(Ask(Jobs({60, 40}), kPatient).verdicts, Each(kRun));
  EXPECT_THAT(Ask(Jobs({60, 50}), kPatient).verdicts, ElementsAre(kRun, kWait));
  EXPECT_THAT(Ask(Jobs({1, 1, 1, 1}), kPatient).verdicts, Each(kRun));
}

TEST(PolicyTest, AJobInProgressDoesNotWaitForCompany) {
  std::vector<Waiting> queue = Jobs({1, 1});
  queue[0].continuing = true;
  EXPECT_THAT(Ask(queue, kPatient).verdicts, Each(kRun));
}

TEST(PolicyTest, ADeadlineWithinTheDelayEndsTheWait) {
  std::vector<Waiting> queue = Jobs({10, 10});
  queue[1].deadline = kStart + milliseconds(2);
  EXPECT_THAT(Ask(queue, kPatient).verdicts, Each(kRun));
  queue[1].deadline = kStart + milliseconds(3);
  EXPECT_THAT(Ask(queue, kPatient).verdicts, Each(kWait));
}

TEST(PolicyTest, TwoIdleWorkersTakeHalfEach) {
  EXPECT_THAT(Ask(Jobs({20, 20}), kLimits, kStart, 2).verdicts, ElementsAre(kRun, kWait));
  EXPECT_THAT(Ask(Jobs({20, 20, 20, 20}), kLimits, kStart, 2).verdicts,
              ElementsAre(kRun, kRun, kWait, kWait));
}

TEST(PolicyTest, AShareEndsAtTheJobBoundaryNearestToIt) {
  EXPECT_THAT(Ask(Jobs({45, 50, 5}), kLimits, kStart, 2).verdicts, ElementsAre(kRun, kWait, kWait));
  EXPECT_THAT(Ask(Jobs({5, 50, 45}), kLimits, kStart, 2).verdicts, ElementsAre(kRun, kRun, kWait));
}

TEST(PolicyTest, ABacklogOfFullBatchesIsNotSplitSmaller) {
  const std::vector<Waiting> queue = Jobs({25, 25, 25, 25, 25, 25, 25, 25});
  EXPECT_THAT(Ask(queue, kLimits, kStart, 2).verdicts,
              ElementsAre(kRun, kRun, kRun, kRun, kWait, kWait, kWait, kWait));
}

TEST(PolicyTest, ShortJobsAreNotSplitBelowWhatReadingTheWeightsCosts) {
  EXPECT_THAT(Ask(Jobs({4, 4, 4}), kLimits, kStart, 8).verdicts, Each(kRun));
}

TEST(PolicyTest, ALoneJobIsTakenHoweverManyWorkersAreIdle) {
  EXPECT_THAT(Ask(Jobs({100}), kLimits, kStart, 64).verdicts, ElementsAre(kRun));
}

// The rows that a worker takes of a backlog of `count` jobs of 64 rows, with no other worker idle.
int TakenOf(int count, int32_t workers) {
  std::vector<Waiting> queue(count, Waiting{.rows = 64, .queued_at = kStart});
  const BatchLimits limits{.rows_max = 4096, .sequences_max = 1024, .workers = workers};
  const Decision decision = Ask(queue, limits);
  return 64 *
         static_cast<int>(std::count(decision.verdicts.begin(), decision.verdicts.end(), kRun));
}

TEST(PolicyTest, OfABacklogEachWorkerTakesItsPartSoThatAllFinishTogether) {
  EXPECT_EQ(TakenOf(40, 1), 2560);  // Nobody else comes.
  EXPECT_EQ(TakenOf(40, 2), 1280);
  EXPECT_EQ(TakenOf(20, 2), 640);
  EXPECT_EQ(TakenOf(256, 2), 4096);  // The budget is the limit.
}

TEST(PolicyTest, ABacklogIsNotCutIntoPartsThatCostMoreThanTheyGain) {
  EXPECT_EQ(TakenOf(10, 2), 512);
  EXPECT_EQ(TakenOf(6, 2), 384);
  EXPECT_EQ(TakenOf(40, 16), 512);
}

TEST(PolicyTest, AnswersAreWrittenOverEarlierOnes) {
  Decision decision;
  Decide(Jobs({1, 1, 1}), kStart, kPatient, 1, decision);
  Decide(Jobs({1}), kStart + milliseconds(2), kPatient, 1, decision);
  EXPECT_THAT(decision.verdicts, ElementsAre(kRun));
  EXPECT_EQ(decision.wake, kNever);
}

// Whatever the queue, the worker has something to run or a time to wake at, so it neither stalls
// nor spins.
TEST(PolicyTest, AWorkerNeitherStallsNorSpins) {
  for (int rows = 1; rows <= 100; ++rows) {
    for (int workers = 1; workers <= 4; ++workers) {
      for (const BatchLimits& limits : {kLimits, kPatient}) {
        const Decision decision = Ask(Jobs({rows, 100, 1}), limits, kStart, workers);
        const bool runs = decision.verdicts[0] == kRun;
        EXPECT_TRUE(runs || (decision.wake > kStart && decision.wake < kNever));
      }
    }
  }
}

TEST(PolicyDeathTest, AJobThatFitsNoBatchIsOurBug) { EXPECT_DEATH(Ask(Jobs({101})), "rows_max"); }

}  // namespace
}  // namespace attnd
