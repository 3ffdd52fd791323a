// Goal: queues get the workers' time in proportion to their weights, and none waits for longer than
// its turn. Method: the accounts driven in simulated time, in which batches of each queue take what
// the test says.
#include "core/batch/fair_share.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "core/batch/cost_model.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;

// What batches are taken to cost when they begin.
constexpr double kExpected = 0.01;

// One worker serves whoever is first, `batches` times; the seconds that each queue was served.
std::vector<double> Serve(FairShare& share, const std::vector<double>& seconds_a_batch,
                          int batches) {
  std::vector<double> served(seconds_a_batch.size());
  for (int i = 0; i < batches; ++i) {
    const int queue = share.Order().front();
    const auto index = static_cast<size_t>(queue);
    share.Begin(queue, kExpected);
    share.End(queue, kExpected, seconds_a_batch[index]);
    served[index] += seconds_a_batch[index];
  }
  return served;
}

TEST(FairShareTest, EqualWeightsGetEqualTimeWhateverABatchTakes) {
  FairShare share(std::array{1.0, 1.0});
  const auto served = Serve(share, {0.001, 0.010}, 2'000);
  EXPECT_NEAR(served[0] / served[1], 1, 0.02);
}

TEST(FairShareTest, TimeIsInProportionToTheWeights) {
  FairShare share(std::array{1.0, 3.0, 0.5});
  const auto served = Serve(share, {0.002, 0.002, 0.005}, 3'000);
  EXPECT_NEAR(served[1] / served[0], 3, 0.06);
  EXPECT_NEAR(served[0] / served[2], 2, 0.06);
}

TEST(FairShareTest, TwoWorkersDoNotBothServeTheOneThatWasBehind) {
  FairShare share(std::array{1.0, 1.0});
  share.Begin(share.Order().front(), kExpected);
  EXPECT_EQ(share.Order().front(), 1);
}

TEST(FairShareTest, TimeThatWasNotUsedIsNotSavedUp) {
  FairShare share(std::array{1.0, 1.0});
  // Queue 0 alone, for ten seconds.
  for (int i = 0; i < 1'000; ++i) {
    share.Begin(0, kExpected);
    share.End(0, kExpected, 0.01);
  }
  share.Arrive(1);
  EXPECT_EQ(share.Order().front(), 1);  // It is next,
  const auto served = Serve(share, {0.01, 0.01}, 100);
  EXPECT_NEAR(served[1], 0.5, 0.03);  // but has no ten seconds to catch up with.
}

TEST(FairShareTest, OneThatComesAndGoesCannotGetMoreThanItsShare) {
  FairShare share(std::array{1.0, 1.0});
  double served[2] = {};
  for (int i = 0; i < 1'000; ++i) {
    share.Arrive(1);  // After each of its batches it has nothing for a moment.
    const int queue = share.Order().front();
    share.Begin(queue, kExpected);
    share.End(queue, kExpected, 0.01);
    served[queue] += 0.01;
  }
  EXPECT_NEAR(served[0] / served[1], 1, 0.02);
}

TEST(FairShareTest, AFewDearRowsDoNotMakeANewcomerWait) {
  // Two workers. Queue 0 begins with three rows that take 30 ms, and goes on with a backlog at 0.3
  // ms a row, two batches at a time.
  FairShare share(std::array{1.0, 1.0});
  CostModel costs[2];
  const Work few{.rows = 3, .pairs = 9};
  const Work many{.rows = 2048, .pairs = 32 * 64 * 64};
  constexpr double kSeconds = 2048 * 0.0003;
  costs[0].Learn(few, 0.03);
  double charged[2] = {costs[0].Seconds(many), 0};
  share.Begin(0, charged[0]);
  share.Arrive(1);
  int served[2] = {};
  int running[2] = {0, -1};  // What each worker serves.
  for (int i = 0; i < 40; ++i) {
    const int worker = (i + 1) % 2;
    if (running[worker] >= 0) {
      share.End(running[worker], charged[worker], kSeconds);
      costs[running[worker]].Learn(many, kSeconds);
    }
    running[worker] = share.Order().front();
    charged[worker] = costs[running[worker]].Seconds(many);
    share.Begin(running[worker], charged[worker]);
    ++served[running[worker]];
  }
  EXPECT_NEAR(served[0], 20, 2);
  EXPECT_NEAR(served[1], 20, 2);
}

TEST(FairShareTest, TheTimeOfHelpersCounts) {
  // Batches of queue 0 take a second of the lead and one of a helper, those of queue 1 a second.
  FairShare share(std::array{1.0, 1.0});
  int served[2] = {};
  for (int i = 0; i < 300; ++i) {
    const int queue = share.Order().front();
    share.Begin(queue, kExpected);
    if (queue == 0 && i % 2 == 0) share.Help(queue, 1);
    share.End(queue, kExpected, 1);
    if (queue == 0 && i % 2 == 1) share.Help(queue, 1);  // The helper was late.
    ++served[queue];
  }
  EXPECT_NEAR(served[0], 100, 2);
  EXPECT_NEAR(served[1], 200, 2);
}

TEST(FairShareTest, EqualsTakeTurns) {
  FairShare share(std::array{1.0, 1.0, 1.0});
  std::vector<int> turns;
  for (int i = 0; i < 6; ++i) {
    turns.push_back(share.Order().front());
    share.Begin(turns.back(), kExpected);
    share.End(turns.back(), kExpected, 0.5);
  }
  EXPECT_THAT(turns, ElementsAre(0, 1, 2, 0, 1, 2));
}

}  // namespace
}  // namespace attnd
