// Goal: the attention operators do what attention.proto promises, for any shape and mask.
// Method: compare with loops in double over random shapes, masks and biases; then one test for each
// promise about what is masked, what is NaN, and what is returned.
#include "core/layers/attend.h"

#include <cmath>
#include <limits>

#include "core/tensor/onednn.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/layers/random_values.h"

namespace attnd {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::vector<uint8_t> Bits(Random& random, int64_t count, double probability) {
  std::vector<uint8_t> bits(count);
  for (uint8_t& bit : bits) bit = Chance(random, probability);
  return bits;
}

struct Shape {
  int64_t batch = 1, query_heads = 1, key_heads = 1;
  int64_t query_length = 1, key_length = 1, key_size = 1, value_size = 1;
};

AttendTask RandomTask(Random& random, const Shape& shape) {
  const auto& [batch, query_heads, key_heads, query_length, key_length, key_size, value_size] =
      shape;
  return {
      .batch = batch,
      .query_heads = query_heads,
      .key_heads = key_heads,
      .query_length = query_length,
      .key_length = key_length,
      .key_size = key_size,
      .value_size = value_size,
      .query = Normals(random, batch * query_heads * query_length * key_size),
      .key = Normals(random, batch * key_heads * key_length * key_size),
      .value = Normals(random, batch * key_heads * key_length * value_size),
      .scale = static_cast<float>(1 / std::sqrt(static_cast<double>(key_size))),
  };
}

int64_t Size(const BroadcastShape& shape) {
  return shape.batch * shape.heads * shape.queries * shape.keys;
}

int64_t Index(const BroadcastShape& shape, int64_t b, int64_t h, int64_t i, int64_t j) {
  const auto at = [](int64_t size, int64_t index) { return size == 1 ? 0 : index; };
  return ((at(shape.batch, b) * shape.heads + at(shape.heads, h)) * shape.queries +
          at(shape.queries, i)) *
             shape.keys +
         at(shape.keys, j);
}

bool Attends(const AttendTask& task, int64_t b, int64_t h, int64_t i, int64_t j) {
  const int64_t place = i + task.key_length - task.query_length;
  if (task.causal && j > place) return false;
  if (task.window && std::abs(j - place) > *task.window) return false;
  if (!task.key_mask.empty() && !task.key_mask[b * task.key_length + j]) return false;
  if (!task.mask.empty() && !task.mask[Index(task.mask_shape, b, h, i, j)]) return false;
  return task.bias.empty() || task.bias[Index(task.bias_shape, b, h, i, j)] != -kInfinity;
}

// What the task should return, one row at a time, in double.
struct Reference {
  std::vector<double> output, weights, scores;
};

Reference Naive(const AttendTask& task) {
  Reference result;
  for (int64_t b = 0; b < task.batch; ++b) {
    for (int64_t h = 0; h < task.query_heads; ++h) {
      const int64_t group = b * task.key_heads + h / (task.query_heads / task.key_heads);
      for (int64_t i = 0; i < task.query_length; ++i) {
        const float* q =
            &task.query[((b * task.query_heads + h) * task.query_length + i) * task.key_size];
        std::vector<double> scores(task.key_length, -kInfinity), weights(task.key_length);
        double sum = 0, highest = -kInfinity;
        int64_t count = 0;
        for (int64_t j = 0; j < task.key_length; ++j) {
          if (!Attends(task, b, h, i, j)) continue;
          const float* k = &task.key[(group * task.key_length + j) * task.key_size];
          scores[j] = 0;
          for (int64_t d = 0; d < task.key_size; ++d) scores[j] += double{q[d]} * k[d];
          scores[j] *= task.scale;
          if (!task.bias.empty()) scores[j] += task.bias[Index(task.bias_shape, b, h, i, j)];
          highest = std::max(highest, scores[j]);
          ++count;
        }
        for (int64_t j = 0; j < task.key_length; ++j) {
          if (Attends(task, b, h, i, j)) sum += weights[j] = std::exp(scores[j] - highest);
        }
        for (double& weight : weights) {
          weight = count > 0 ? weight / sum
                   : task.fully_masked == FullyMasked::kUniform
                       ? 1 / static_cast<double>(task.key_length)
                       : 0;
        }
        for (int64_t d = 0; d < task.value_size; ++d) {
          double total = 0;
          for (int64_t j = 0; j < task.key_length; ++j) {
            if (weights[j] == 0) continue;  // A masked value takes no part, even if it is NaN.
            total += weights[j] * task.value[(group * task.key_length + j) * task.value_size + d];
          }
          result.output.push_back(total);
        }
        result.scores.insert(result.scores.end(), scores.begin(), scores.end());
        result.weights.insert(result.weights.end(), weights.begin(), weights.end());
      }
    }
  }
  return result;
}

void ExpectLikeNaive(AttendTask task) {
  task.return_weights = true;
  task.return_scores = true;
  const Reference expected = Naive(task);
  RunAttend(task);
  ExpectClose(task.output, expected.output);
  ExpectClose(task.weights, expected.weights);
  ExpectClose(task.scores, expected.scores);
}

std::vector<float> OutputRow(const AttendTask& task, int64_t row) {
  const auto begin = task.output.begin() + row * task.value_size;
  return {begin, begin + task.value_size};
}

// On one thread, as every worker is.
class AttendTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { onednn::UseOneThread(); }
};

TEST_F(AttendTest, AgreesWithLoopsOverRandomShapesMasksAndBiases) {
  for (uint32_t seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const int64_t key_heads = Pick(random, 1, 3);
    const Shape shape{.batch = Pick(random, 1, 3),
                      .query_heads = key_heads * Pick(random, 1, 3),
                      .key_heads = key_heads,
                      .query_length = Pick(random, 1, 20),
                      .key_length = Pick(random, 1, 20),
                      .key_size = Pick(random, 1, 40),
                      .value_size = Pick(random, 1, 40)};
    AttendTask task = RandomTask(random, shape);
    const auto broadcast = [&] {
      const auto size = [&](int64_t full) { return Chance(random, 0.5) ? full : 1; };
      return BroadcastShape{.batch = size(shape.batch),
                            .heads = size(shape.query_heads),
                            .queries = size(shape.query_length),
                            .keys = size(shape.key_length)};
    };
    task.causal = Chance(random, 0.3);
    if (Chance(random, 0.3)) task.window = static_cast<int32_t>(Pick(random, 0, 8));
    if (Chance(random, 0.3)) task.key_mask = Bits(random, shape.batch * shape.key_length, 0.7);
    if (Chance(random, 0.4)) {
      task.mask_shape = broadcast();
      task.mask = Bits(random, Size(task.mask_shape), 0.7);
    }
    if (Chance(random, 0.4)) {
      task.bias_shape = broadcast();
      task.bias = Normals(random, Size(task.bias_shape));
      for (float& bias : task.bias) bias = Chance(random, 0.2) ? -kInfinity : bias;
    }
    if (Chance(random, 0.5)) task.fully_masked = FullyMasked::kUniform;
    ExpectLikeNaive(std::move(task));
    if (HasFailure()) return;
  }
}

TEST_F(AttendTest, QueriesBeyondOneTileAgreeWithLoops) {
  for (int64_t length : {127, 128, 129, 256, 300}) {
    SCOPED_TRACE(length);
    Random random(static_cast<uint32_t>(length));
    AttendTask task = RandomTask(random, {.query_heads = 2,
                                          .key_heads = 1,
                                          .query_length = length,
                                          .key_length = 70,
                                          .key_size = 16,
                                          .value_size = 8});
    task.causal = true;
    ExpectLikeNaive(std::move(task));
  }
}

TEST_F(AttendTest, WeightsAndScoresAreReturnedOnlyWhenAskedFor) {
  Random random(1);
  AttendTask task = RandomTask(random, {.query_length = 3, .key_length = 4});
  RunAttend(task);
  EXPECT_EQ(task.output.size(), 3u);
  EXPECT_TRUE(task.weights.empty());
  EXPECT_TRUE(task.scores.empty());
}

TEST_F(AttendTest, TheLastQueryStandsAtTheLastKey) {
  Random random(2);
  AttendTask task = RandomTask(random, {.query_length = 2, .key_length = 4});
  task.causal = true;
  task.return_weights = true;
  RunAttend(task);
  EXPECT_GT(task.weights[2], 0);
  EXPECT_EQ(task.weights[3], 0);
  EXPECT_GT(task.weights[7], 0);
}

TEST_F(AttendTest, AWindowOfZeroIsTheKeyAtTheSamePlaceAlone) {
  Random random(3);
  AttendTask task = RandomTask(random, {.query_length = 5, .key_length = 5, .value_size = 3});
  task.window = 0;
  RunAttend(task);
  EXPECT_EQ(task.output, task.value);
}

TEST_F(AttendTest, FullyMaskedRowsAreZeroOrTheMeanAsChosen) {
  Random random(4);
  AttendTask task = RandomTask(random, {.query_length = 3, .key_length = 4, .value_size = 5});
  task.mask_shape = {.queries = 3, .keys = 4};
  task.mask = {1, 1, 0, 1, 0, 0, 0, 0, 1, 1, 1, 1};
  RunAttend(task);
  EXPECT_THAT(OutputRow(task, 1), testing::Each(0.f));
  EXPECT_THAT(OutputRow(task, 0), testing::Not(testing::Each(0.f)));
  task.fully_masked = FullyMasked::kUniform;
  ExpectLikeNaive(task);
}

TEST_F(AttendTest, ANaNOrInfInAQueryStaysInItsOwnRow) {
  for (float bad : {kNaN, kInfinity, -kInfinity}) {
    SCOPED_TRACE(bad);
    Random random(5);
    AttendTask task = RandomTask(
        random, {.query_length = 40, .key_length = 33, .key_size = 24, .value_size = 16});
    AttendTask clean = task;
    task.query[7 * 24 + 3] = bad;
    RunAttend(task);
    RunAttend(clean);
    for (int64_t row = 0; row < 40; ++row) {
      if (row == 7) {
        EXPECT_THAT(OutputRow(task, row), testing::Each(testing::IsNan()));
      } else {
        EXPECT_EQ(OutputRow(task, row), OutputRow(clean, row)) << row;
      }
    }
  }
}

TEST_F(AttendTest, WhatAMaskedKeyAndItsValueHoldReachesNothing) {
  for (float bad : {kNaN, kInfinity, -kInfinity}) {
    SCOPED_TRACE(bad);
    Random random(6);
    AttendTask task =
        RandomTask(random, {.query_length = 20, .key_length = 21, .key_size = 8, .value_size = 8});
    task.key_mask.assign(21, 1);
    task.key_mask[4] = 0;
    AttendTask clean = task;
    for (int64_t d = 0; d < 8; ++d) task.key[4 * 8 + d] = task.value[4 * 8 + d] = bad;
    RunAttend(task);
    RunAttend(clean);
    ExpectClose(task.output, {clean.output.begin(), clean.output.end()}, 0);
  }
}

TEST_F(AttendTest, ABiasOfMinusInfinityMasksEvenANaN) {
  Random random(7);
  AttendTask task = RandomTask(random, {.query_length = 2, .key_length = 3, .value_size = 4});
  task.bias_shape = {.keys = 3};
  task.bias = {0, -kInfinity, 0};
  task.key[1] = kNaN;
  std::fill_n(task.value.begin() + 4, 4, kNaN);
  RunAttend(task);
  EXPECT_THAT(task.output, testing::Not(testing::Contains(testing::IsNan())));
}

TEST_F(AttendTest, ANaNValueReachesExactlyTheRowsThatAttendToIt) {
  Random random(8);
  AttendTask task = RandomTask(random, {.query_length = 6, .key_length = 6, .value_size = 3});
  task.causal = true;
  task.value[4 * 3 + 1] = kNaN;
  task.value[4 * 3 + 2] = kInfinity;
  RunAttend(task);
  for (int64_t row = 0; row < 6; ++row) {
    const std::vector<float> output = OutputRow(task, row);
    EXPECT_TRUE(std::isfinite(output[0])) << row;
    EXPECT_EQ(std::isnan(output[1]), row >= 4) << row;
    EXPECT_EQ(output[2] == kInfinity, row >= 4) << row;
  }
}

TEST_F(AttendTest, LogitsOfTensOfThousandsStayFinite) {
  Random random(9);
  AttendTask task = RandomTask(random, {.query_length = 12, .key_length = 12, .key_size = 16});
  for (float& value : task.query) value *= 100;
  for (float& value : task.key) value *= 100;
  task.return_weights = true;
  RunAttend(task);
  for (int64_t i = 0; i < 12; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < 12; ++j) sum += task.weights[i * 12 + j];
    EXPECT_NEAR(sum, 1, 1e-5);
  }
}

TEST_F(AttendTest, OppositeKeysAtTheFarEndsOfFloatGiveAllWeightToOne) {
  AttendTask task{.batch = 1,
                  .query_heads = 1,
                  .key_heads = 1,
                  .query_length = 1,
                  .key_length = 2,
                  .key_size = 1,
                  .value_size = 1,
                  .query = {1e19f},
                  .key = {1e19f, -1e19f},
                  .value = {3, 5}};
  RunAttend(task);
  EXPECT_EQ(task.output, std::vector<float>{3});
}

}  // namespace
}  // namespace attnd
