#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "gtest/gtest.h"

// Seeded values for the tests of the operators, and the comparison with loops in double.
namespace attnd {

using Random = std::mt19937;

inline int64_t Pick(Random& random, int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(random);
}

inline bool Chance(Random& random, double probability) {
  return std::bernoulli_distribution(probability)(random);
}

inline std::vector<float> Normals(Random& random, int64_t count) {
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// Uniform in [-1, 1].
inline std::vector<float> RandomFloats(int64_t count, uint32_t seed) {
  Random random(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(count);
  for (float& value : values) value = uniform(random);
  return values;
}

// As weights are: products with rows of ordinary size stay of ordinary size.
inline std::vector<float> Weights(Random& random, int64_t rows, int64_t columns) {
  std::vector<float> values = Normals(random, rows * columns);
  for (float& value : values) value /= std::sqrt(static_cast<float>(rows));
  return values;
}

// NaN agrees with NaN alone, and an infinity with itself.
inline void ExpectClose(const std::vector<float>& actual, const std::vector<double>& expected,
                        double tolerance = 1e-5) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    if (std::isnan(expected[i])) {
      EXPECT_TRUE(std::isnan(actual[i])) << "at " << i << ": " << actual[i];
    } else if (std::isinf(expected[i])) {
      EXPECT_EQ(actual[i], expected[i]) << "at " << i;
    } else {
      EXPECT_NEAR(actual[i], expected[i], tolerance * (1 + std::abs(expected[i]))) << "at " << i;
    }
  }
}

}  // namespace attnd
