// Goal: what a batch will take is foretold from those before it, from few of them, and a stall does
// not spoil it. Method: batches of a known cost; no clock.
#include "core/batch/cost_model.h"

#include <gtest/gtest.h>

namespace attnd {
namespace {

// A batch of `count` sequences of `rows`.
Work Sequences(int count, int32_t rows) {
  Work work;
  for (int i = 0; i < count; ++i) work += Work::OfSequence(rows);
  return work;
}

// Seconds of a machine that takes 0.1 ms a row and 0.1 us a pair.
double Truth(const Work& work) { return 1e-4 * work.rows + 1e-7 * work.pairs; }

TEST(CostModelTest, KnowsNothingBeforeTheFirstBatch) {
  const CostModel cost;
  EXPECT_EQ(cost.Seconds(Sequences(1, 512)), 0);
}

TEST(CostModelTest, LearnsRowsAndPairsFromBatchesOfSeveralLengths) {
  CostModel cost;
  for (int i = 0; i < 10; ++i) {
    for (const int32_t rows : {16, 64, 128, 512}) {
      const Work work = Sequences(2048 / rows, rows);
      cost.Learn(work, Truth(work));
    }
  }
  for (const int32_t rows : {8, 100, 300, 512}) {
    const Work work = Sequences(4, rows);
    EXPECT_NEAR(cost.Seconds(work) / Truth(work), 1, 0.03) << rows;
  }
}

TEST(CostModelTest, OneBatchTellsOfItsLikes) {
  CostModel cost;
  cost.Learn(Sequences(8, 128), 0.1);
  EXPECT_NEAR(cost.Seconds(Sequences(8, 128)), 0.1, 1e-9);
  EXPECT_NEAR(cost.Seconds(Sequences(16, 128)), 0.2, 1e-9);
}

TEST(CostModelTest, EqualSequencesSayNothingAgainstThePrior) {
  CostModel cost;
  for (int i = 0; i < 100; ++i) cost.Learn(Sequences(32, 64), 0.064);
  // A row costs x, and one of 512 rows 1 + 512 / 2048 of that; of 64 rows, 1 + 64 / 2048.
  const double expected = 0.064 * (512.0 / 2048) * (1 + 512.0 / 2048) / (1 + 64.0 / 2048);
  EXPECT_NEAR(cost.Seconds(Sequences(1, 512)), expected, 1e-6);
}

TEST(CostModelTest, WithoutARatioOnlyRowsCount) {
  CostModel cost(0);
  cost.Learn(Sequences(4, 100), 0.4);
  EXPECT_NEAR(cost.Seconds(Sequences(1, 400)), 0.4, 1e-9);
}

TEST(CostModelTest, NothingTakesLessThanNoTime) {
  CostModel cost;
  // Dear rows in short sequences and cheap ones in long: a straight fit would give pairs a price
  // below 0.
  for (int i = 0; i < 20; ++i) {
    cost.Learn(Sequences(64, 16), 0.5);
    cost.Learn(Sequences(2, 512), 0.05);
  }
  EXPECT_GE(cost.Seconds(Sequences(1, 4096)), cost.Seconds(Sequences(1, 1)));
  EXPECT_GT(cost.Seconds(Sequences(1, 1)), 0);
}

TEST(CostModelTest, AStallIsBelievedOnlySoFar) {
  CostModel cost;
  const Work work = Sequences(8, 128);
  for (int i = 0; i < 10; ++i) cost.Learn(work, 0.1);
  cost.Learn(work, 60);  // Stopped for a minute.
  EXPECT_LT(cost.Seconds(work), 0.2);
  for (int i = 0; i < 20; ++i) cost.Learn(work, 0.1);
  EXPECT_NEAR(cost.Seconds(work), 0.1, 0.01);
}

TEST(CostModelTest, ASlowerMachineIsFollowed) {
  CostModel cost;
  const Work work = Sequences(8, 128);
  for (int i = 0; i < 100; ++i) cost.Learn(work, 0.1);
  for (int i = 0; i < 25; ++i) cost.Learn(work, 1.0);
  EXPECT_NEAR(cost.Seconds(work), 1.0, 0.1);
}

TEST(CostModelTest, TheTimeOfHelpersBelongsToTheBatch) {
  CostModel cost;
  const Work work = Sequences(8, 128);
  cost.Help(0.02);
  cost.Help(0.03);
  cost.Learn(work, 0.05);
  EXPECT_NEAR(cost.Seconds(work), 0.1, 1e-9);
}

}  // namespace
}  // namespace attnd
