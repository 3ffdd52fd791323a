// Goal: norm, embedding, rotary positions and pooling do what their formulas say. Method: naive
// double loops over odd sizes.
#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "core/layers/embed.h"
#include "core/layers/norm.h"
#include "core/layers/pool.h"
#include "core/layers/rotary.h"
#include "gtest/gtest.h"
#include "tests/layers/random_values.h"

namespace attnd {
namespace {

AlignedBuffer Table(const std::vector<float>& values) {
  AlignedBuffer buffer(values.size() * sizeof(float));
  std::copy(values.begin(), values.end(), buffer.floats().begin());
  return buffer;
}

std::vector<double> NaiveNorm(const float* row, int64_t n, const std::vector<float>& gain,
                              const std::vector<float>& bias, double epsilon) {
  double mean = 0, variance = 0;
  for (int64_t i = 0; i < n; ++i) mean += row[i] / static_cast<double>(n);
  for (int64_t i = 0; i < n; ++i) {
    variance += (row[i] - mean) * (row[i] - mean) / static_cast<double>(n);
  }
  std::vector<double> out(n);
  for (int64_t i = 0; i < n; ++i) {
    out[i] = (row[i] - mean) / std::sqrt(variance + epsilon) * gain[i] + bias[i];
  }
  return out;
}

class NormTest : public ::testing::TestWithParam<int64_t> {};

TEST_P(NormTest, AgreesWithNaiveLoopsAndTheEpsilonMatters) {
  const int64_t n = GetParam();
  const std::vector<float> gain = RandomFloats(n, 1), bias = RandomFloats(n, 2);
  for (const float epsilon : {1e-12f, 1e-2f}) {
    std::vector<float> x = RandomFloats(3 * n, 3);
    for (float& value : x) value += 10;  // A large mean is where a one-pass variance fails.
    const std::vector<float> before = x;
    Norm(gain, bias, epsilon).Run({x.data(), 3, n, n});
    for (int64_t row = 0; row < 3; ++row) {
      const auto expected = NaiveNorm(before.data() + row * n, n, gain, bias, epsilon);
      for (int64_t i = 0; i < n; ++i) ASSERT_NEAR(x[row * n + i], expected[i], 2e-5);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, NormTest, ::testing::Values(2, 7, 8, 33, 48, 384, 768, 1000));

TEST(EmbedTest, AddsTokenPositionAndTypeThenNormalises) {
  constexpr int64_t kHidden = 20;
  const auto tokens = RandomFloats(11 * kHidden, 1), positions = RandomFloats(9 * kHidden, 2);
  const auto types = RandomFloats(2 * kHidden, 3);
  const auto gain = RandomFloats(kHidden, 4), bias = RandomFloats(kHidden, 5);
  const Embed embed({Table(tokens), Table(positions), Table(types)},
                    {.hidden = kHidden, .position_offset = 2}, Norm(gain, bias, 1e-5f));
  const std::vector<int32_t> ids{10, 0, 3}, type_ids{0, 1, 1};
  std::vector<float> x(3 * kHidden), from_rows(3 * kHidden), rows;
  embed.Run(ids, type_ids, {x.data(), 3, kHidden, kHidden});
  for (int64_t row = 0; row < 3; ++row) {
    std::vector<float> sum(kHidden);
    for (int64_t i = 0; i < kHidden; ++i) {
      rows.push_back(tokens[ids[row] * kHidden + i]);
      sum[i] = tokens[ids[row] * kHidden + i] + positions[(row + 2) * kHidden + i] +
               types[type_ids[row] * kHidden + i];
    }
    const auto expected = NaiveNorm(sum.data(), kHidden, gain, bias, 1e-5);
    for (int64_t i = 0; i < kHidden; ++i) EXPECT_NEAR(x[row * kHidden + i], expected[i], 1e-5);
  }
  // The caller's rows take the place of the token table's, and nothing else changes.
  embed.Run(std::span<const float>(rows), type_ids, {from_rows.data(), 3, kHidden, kHidden});
  EXPECT_EQ(from_rows, x);
}

TEST(NormTest, RmsDividesByTheRootOfTheMeanSquareAndReadsWhereItIsTold) {
  constexpr int64_t kSize = 33;
  const std::vector<float> gain = RandomFloats(kSize, 1), x = RandomFloats(2 * kSize, 2);
  std::vector<float> y(2 * kSize);
  Norm::Rms(gain, 1e-2f).Run(ConstMatrix{x.data(), 2, kSize, kSize}, {y.data(), 2, kSize, kSize});
  for (int64_t row = 0; row < 2; ++row) {
    double squares = 0;
    for (int64_t i = 0; i < kSize; ++i) squares += double{x[row * kSize + i]} * x[row * kSize + i];
    for (int64_t i = 0; i < kSize; ++i) {
      const double expected = x[row * kSize + i] / std::sqrt(squares / kSize + 1e-2) * gain[i];
      EXPECT_NEAR(y[row * kSize + i], expected, 1e-5);
    }
  }
}

TEST(EmbedTest, WithoutPositionsTypesAndNormOnlyTheTokenIsLeft) {
  constexpr int64_t kHidden = 8;
  const auto tokens = RandomFloats(4 * kHidden, 1);
  const Embed embed({.tokens = Table(tokens)}, {.hidden = kHidden}, std::nullopt);
  const std::vector<int32_t> ids{3, 1};
  std::vector<float> x(2 * kHidden);
  embed.Run(ids, {}, {x.data(), 2, kHidden, kHidden});
  EXPECT_TRUE(std::equal(x.begin(), x.begin() + kHidden, tokens.begin() + 3 * kHidden));
  EXPECT_TRUE(std::equal(x.begin() + kHidden, x.end(), tokens.begin() + kHidden));
}

// As transformers' create_position_ids_from_input_ids.
TEST(EmbedTest, AnUnplacedTokenStandsBeforeTheFirstPositionAndIsNotCounted) {
  constexpr int64_t kHidden = 4;
  const std::vector<float> tokens(3 * kHidden, 0.0f);
  std::vector<float> positions;
  for (int32_t position = 0; position < 6; ++position) {
    positions.insert(positions.end(), kHidden, static_cast<float>(position));
  }
  const Embed embed({.tokens = Table(tokens), .positions = Table(positions)},
                    {.hidden = kHidden, .position_offset = 2, .unplaced_token = 1}, std::nullopt);
  const std::vector<int32_t> ids{0, 1, 2, 1, 0};
  std::vector<float> x(5 * kHidden);
  embed.Run(ids, {}, {x.data(), 5, kHidden, kHidden});
  std::vector<float> found;
  for (int64_t row = 0; row < 5; ++row) found.push_back(x[row * kHidden]);
  EXPECT_EQ(found, (std::vector<float>{2, 1, 3, 1, 4}));
}

TEST(RotaryTest, TurnsPairsOfQueriesAndKeysAndLeavesValuesAlone) {
  constexpr int32_t kHeads = 2, kSize = 6, kRows = 5, kWidth = kHeads * kSize;
  const Rotary rotary({.heads = kHeads, .head_size = kSize, .positions = kRows, .theta = 100});
  const std::vector<float> before = RandomFloats(kRows * 3 * kWidth, 1);
  std::vector<float> after = before;
  rotary.Run({after.data(), kRows, 3 * kWidth, 3 * kWidth});
  for (int32_t row = 0; row < kRows; ++row) {
    for (int32_t column = 0; column < 3 * kWidth; ++column) {
      const int32_t place = row * 3 * kWidth + column, i = column % kSize;
      double expected = before[place];
      if (column < 2 * kWidth) {
        const double angle = row * std::pow(100.0, -2.0 * (i % (kSize / 2)) / kSize);
        const double other = i < kSize / 2 ? -before[place + kSize / 2] : before[place - kSize / 2];
        expected = before[place] * std::cos(angle) + other * std::sin(angle);
      }
      EXPECT_NEAR(after[place], expected, 1e-6) << "row " << row << ", column " << column;
    }
  }
}

TEST(EmbedTest, NoTypesMeansTypeZero) {
  constexpr int64_t kHidden = 8;
  const Embed embed({Table(RandomFloats(4 * kHidden, 1)), Table(RandomFloats(4 * kHidden, 2)),
                     Table(RandomFloats(2 * kHidden, 3))},
                    {.hidden = kHidden},
                    Norm(RandomFloats(kHidden, 4), RandomFloats(kHidden, 5), 1e-5f));
  const std::vector<int32_t> ids{1, 2}, zeros{0, 0}, ones{1, 1};
  std::vector<float> without(2 * kHidden), with(2 * kHidden), other(2 * kHidden);
  embed.Run(ids, {}, {without.data(), 2, kHidden, kHidden});
  embed.Run(ids, zeros, {with.data(), 2, kHidden, kHidden});
  embed.Run(ids, ones, {other.data(), 2, kHidden, kHidden});
  EXPECT_EQ(without, with);
  EXPECT_NE(without, other);
}

TEST(PoolTest, MeanMaxAndRow) {
  const std::vector<float> x{1, -2, 3, 5, -7, 0};  // [3, 2]
  const ConstMatrix rows{x.data(), 3, 2, 2};
  std::vector<float> out(2);
  PoolMean(rows, out.data());
  EXPECT_FLOAT_EQ(out[0], -1);
  EXPECT_FLOAT_EQ(out[1], 1);
  PoolMax(rows, out.data());
  EXPECT_EQ(out, (std::vector<float>{3, 5}));
  PoolRow(rows, 2, out.data());
  EXPECT_EQ(out, (std::vector<float>{-7, 0}));
}

TEST(PoolTest, NormalizingGivesLengthOneAndLeavesZeroAlone) {
  std::vector<float> vector{3, 0, -4};
  NormalizeLength(vector.data(), 3);
  EXPECT_FLOAT_EQ(vector[0], 0.6f);
  EXPECT_FLOAT_EQ(vector[2], -0.8f);
  std::vector<float> zero(3, 0.0f);
  NormalizeLength(zero.data(), 3);
  EXPECT_EQ(zero, std::vector<float>(3, 0.0f));
}

}  // namespace
}  // namespace attnd
