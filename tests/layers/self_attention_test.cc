// Goal: the whole recipe, from rows to contextualized rows, is the one of attention.proto.
// Method: compare with loops in double over random shapes, then check what each option adds.
#include "core/layers/self_attention.h"

#include <cmath>
#include <limits>

#include "core/tensor/onednn.h"
#include "gtest/gtest.h"
#include "tests/layers/random_values.h"

namespace attnd {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// softmax((X + P) W_Q ((X + P) W_K)^T / sqrt(size)) (X + P) W_V, heads side by side, W_O.
SelfAttentionTask RandomSelfAttention(Random& random) {
  const int64_t rows = Pick(random, 1, 20), input = Pick(random, 1, 24);
  const int64_t heads = Pick(random, 1, 4), inner = heads * Pick(random, 1, 8);
  const int64_t output = Pick(random, 1, 24);
  return {.rows = rows,
          .input_size = input,
          .inner_size = inner,
          .output_size = output,
          .heads = static_cast<int32_t>(heads),
          .sinusoidal_positions = Chance(random, 0.5),
          .causal = Chance(random, 0.5),
          .return_scores = true,
          .input = Normals(random, rows * input),
          .w_q = Weights(random, input, inner),
          .w_k = Weights(random, input, inner),
          .w_v = Weights(random, input, inner),
          .w_o = Weights(random, inner, output)};
}

std::vector<double> Product(const std::vector<double>& a, const std::vector<float>& b, int64_t m,
                            int64_t k, int64_t n) {
  std::vector<double> c(m * n);
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t l = 0; l < k; ++l) c[i * n + j] += a[i * k + l] * b[l * n + j];
    }
  }
  return c;
}

// In double throughout, with the heads read in place.
struct Reference {
  std::vector<double> output, weights, scores;
};

Reference NaiveSelfAttention(const SelfAttentionTask& task) {
  const int64_t n = task.rows, inner = task.inner_size, size = inner / task.heads;
  std::vector<double> x(task.input.begin(), task.input.end());
  for (int64_t i = 0; task.sinusoidal_positions && i < n * task.input_size; ++i) {
    const int64_t row = i / task.input_size, column = i % task.input_size;
    const double angle =
        static_cast<double>(row) /
        std::pow(1e4, 2. * static_cast<double>(column / 2) / static_cast<double>(task.input_size));
    x[i] += column % 2 == 0 ? std::sin(angle) : std::cos(angle);
  }
  const auto q = Product(x, task.w_q, n, task.input_size, inner);
  const auto k = Product(x, task.w_k, n, task.input_size, inner);
  const auto v = Product(x, task.w_v, n, task.input_size, inner);
  Reference result;
  std::vector<double> context(n * inner);
  for (int64_t h = 0; h < task.heads; ++h) {
    for (int64_t i = 0; i < n; ++i) {
      std::vector<double> scores(n, -kInfinity), weights(n);
      const int64_t last = task.causal ? i : n - 1;
      double highest = -kInfinity, sum = 0;
      for (int64_t j = 0; j <= last; ++j) {
        scores[j] = 0;
        for (int64_t d = h * size; d < (h + 1) * size; ++d) {
          scores[j] += q[i * inner + d] * k[j * inner + d] / std::sqrt(static_cast<double>(size));
        }
        highest = std::max(highest, scores[j]);
      }
      for (int64_t j = 0; j <= last; ++j) sum += weights[j] = std::exp(scores[j] - highest);
      for (int64_t j = 0; j < n; ++j) {
        weights[j] /= sum;
        for (int64_t d = h * size; d < (h + 1) * size; ++d) {
          context[i * inner + d] += weights[j] * v[j * inner + d];
        }
      }
      result.scores.insert(result.scores.end(), scores.begin(), scores.end());
      result.weights.insert(result.weights.end(), weights.begin(), weights.end());
    }
  }
  result.output = Product(context, task.w_o, n, inner, task.output_size);
  return result;
}

// On one thread, as every worker is.
class SelfAttentionTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { onednn::UseOneThread(); }
};

TEST_F(SelfAttentionTest, AgreesWithLoopsOverRandomShapes) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    SelfAttentionTask task = RandomSelfAttention(random);
    const Reference expected = NaiveSelfAttention(task);
    RunSelfAttention(task);
    ExpectClose(task.scores, expected.scores);
    ExpectClose(task.weights, expected.weights);
    ExpectClose(task.output, expected.output);
    if (HasFailure()) return;
  }
}

TEST_F(SelfAttentionTest, PositionsAreSinesAndCosinesOfThePaper) {
  std::vector<float> rows(3 * 4, 1.f);
  AddSinusoidalPositions(3, 4, rows);
  EXPECT_EQ(rows[0], 1.f);
  EXPECT_EQ(rows[1], 2.f);
  EXPECT_FLOAT_EQ(rows[8], static_cast<float>(1 + std::sin(2.0)));
  EXPECT_FLOAT_EQ(rows[9], static_cast<float>(1 + std::cos(2.0)));
  EXPECT_FLOAT_EQ(rows[10], static_cast<float>(1 + std::sin(0.02)));
  EXPECT_FLOAT_EQ(rows[11], static_cast<float>(1 + std::cos(0.02)));
}

TEST_F(SelfAttentionTest, RepeatingAWordMakesTheSameRowUnlessPositionsAreAdded) {
  Random random(11);
  SelfAttentionTask task{.rows = 2,
                         .input_size = 4,
                         .inner_size = 4,
                         .output_size = 4,
                         .w_q = Normals(random, 16),
                         .w_k = Normals(random, 16),
                         .w_v = Normals(random, 16),
                         .w_o = Normals(random, 16)};
  task.input = {1, 2, 3, 4, 1, 2, 3, 4};
  RunSelfAttention(task);
  EXPECT_TRUE(std::equal(task.output.begin(), task.output.begin() + 4, task.output.begin() + 4));
  task.sinusoidal_positions = true;
  RunSelfAttention(task);
  EXPECT_FALSE(std::equal(task.output.begin(), task.output.begin() + 4, task.output.begin() + 4));
}

}  // namespace
}  // namespace attnd
