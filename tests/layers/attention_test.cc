// Goal: self-attention over packed rows is softmax(Q K^T) V head by head, at every length, whatever
// the tiling; its kernels are the ones promised; the cache stays within its bound. Method: naive
// double loops, poisoned workspace.
#include "core/layers/attention.h"

#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "gtest/gtest.h"
#include "tests/layers/random_values.h"

namespace attnd {
namespace {

struct Shape {
  int32_t heads, head_size, length;
  int32_t window = 0;
  bool biased = false;
};

AttentionKernels::Shape KernelShape(const Shape& shape) {
  return {shape.heads, shape.head_size, shape.length, shape.window};
}

// What attention should come to, and its intermediate results.
struct Expected {
  std::vector<double> context;          // [length, width]
  std::vector<double> scores, weights;  // [heads, length, length]
};

// From qkv [length, 3 width].
Expected Naive(const Shape& shape, const std::vector<float>& qkv, const RelativeBias* bias) {
  const auto [heads, size, length, window, biased] = shape;
  const int64_t width = int64_t{heads} * size;
  Expected expected{.context = std::vector<double>(length * width, 0.0)};
  std::vector<double> weights(length);
  const auto at = [&](int64_t row, int64_t part, int64_t column) {
    return double{qkv[row * 3 * width + part * width + column]};
  };
  for (int32_t head = 0; head < heads; ++head) {
    for (int32_t query = 0; query < length; ++query) {
      double largest = -1e300, sum = 0;
      for (int32_t key = 0; key < length; ++key) {
        weights[key] = 0;
        for (int32_t i = 0; i < size; ++i) {
          weights[key] += at(query, 0, head * size + i) * at(key, 1, head * size + i);
        }
        if (bias != nullptr) weights[key] += bias->Row(head, query)[key];
        if (window > 0 && std::abs(key - query) > window) {
          weights[key] = -std::numeric_limits<double>::infinity();
        }
        largest = std::max(largest, weights[key]);
      }
      expected.scores.insert(expected.scores.end(), weights.begin(), weights.end());
      for (double& weight : weights) sum += weight = std::exp(weight - largest);
      for (int32_t key = 0; key < length; ++key) {
        for (int32_t i = 0; i < size; ++i) {
          expected.context[query * width + head * size + i] +=
              weights[key] / sum * at(key, 2, head * size + i);
        }
        expected.weights.push_back(weights[key] / sum);
      }
    }
  }
  return expected;
}

std::optional<RelativeBias> BiasOf(const Shape& shape) {
  if (!shape.biased) return std::nullopt;
  return RelativeBias(
      {.heads = shape.heads, .buckets = 32, .distance_max = 128, .positions = shape.length + 3},
      RandomFloats(32 * shape.heads, 5));
}

class AttentionTest : public ::testing::TestWithParam<Shape> {};

TEST_P(AttentionTest, AgreesWithNaiveLoopsAndShowsItsScoresAndWeights) {
  onednn::UseOneThread();
  const Shape shape = GetParam();
  const auto kernels = AttentionKernels::Make(KernelShape(shape));
  ASSERT_TRUE(kernels.ok()) << kernels.status();
  const int64_t width = int64_t{shape.heads} * shape.head_size;
  const std::vector<float> qkv = RandomFloats(shape.length * 3 * width, 7);
  const std::optional<RelativeBias> bias = BiasOf(shape);
  const RelativeBias* biased = bias ? &*bias : nullptr;
  const Expected expected = Naive(shape, qkv, biased);

  std::vector<float> context(shape.length * width), seen(shape.length * width);
  Workspace workspace((*kernels)->workspace_bytes());
  workspace.Poison();
  (*kernels)->Run(qkv.data(), biased, workspace, context.data());
  for (size_t i = 0; i < context.size(); ++i) {
    ASSERT_NEAR(context[i], expected.context[i], 1e-5) << "element " << i;
  }

  // The last head and the first, in that order; what is seen changes nothing.
  const std::vector<int32_t> heads{shape.heads - 1, 0};
  const int64_t square = int64_t{shape.length} * shape.length;
  std::vector<float> scores(2 * square, NAN), weights(2 * square, NAN);
  const AttentionTap tap{heads, weights.data(), scores.data()};
  (*kernels)->Run(qkv.data(), biased, workspace, seen.data(), &tap);
  EXPECT_EQ(seen, context);
  for (int64_t i = 0; i < 2 * square; ++i) {
    const int64_t place = heads[i / square] * square + i % square;
    if (std::isinf(expected.scores[place])) {
      ASSERT_EQ(scores[i], -INFINITY) << i;
      ASSERT_EQ(weights[i], 0.0f) << i;
    } else {
      ASSERT_NEAR(scores[i], expected.scores[place], 1e-4) << i;
      ASSERT_NEAR(weights[i], expected.weights[place], 1e-5) << i;
    }
  }
}

// Lengths around vector widths and tile borders; 513 and 777 take tiles with a rest, 12 heads of 32
// are MiniLM's.
INSTANTIATE_TEST_SUITE_P(Shapes, AttentionTest,
                         ::testing::Values(Shape{1, 1, 1}, Shape{2, 8, 1}, Shape{3, 12, 2},
                                           Shape{4, 12, 7}, Shape{12, 32, 16}, Shape{12, 32, 33},
                                           Shape{12, 32, 128}, Shape{12, 32, 129},
                                           Shape{12, 64, 255}, Shape{4, 32, 512}, Shape{5, 16, 513},
                                           Shape{2, 64, 777}));

INSTANTIATE_TEST_SUITE_P(Windows, AttentionTest,
                         ::testing::Values(Shape{2, 8, 9, 3}, Shape{4, 12, 12, 8},
                                           Shape{4, 12, 30, 8}, Shape{4, 12, 200, 8},
                                           Shape{12, 64, 64, 64}, Shape{12, 64, 66, 64},
                                           Shape{3, 64, 193, 64}, Shape{3, 64, 500, 64},
                                           Shape{2, 16, 700, 300}));

INSTANTIATE_TEST_SUITE_P(Biases, AttentionTest,
                         ::testing::Values(Shape{1, 8, 1, 0, true}, Shape{6, 8, 17, 0, true},
                                           Shape{4, 16, 300, 0, true}, Shape{4, 16, 90, 7, true}));

// Bidirectional buckets of T5: transformers' T5Attention._relative_position_bucket gave these.
TEST(RelativeBiasTest, BucketsAreThoseOfTheReference) {
  const auto bucket = [](int32_t distance) { return RelativeBias::Bucket(distance, 32, 128); };
  EXPECT_EQ(bucket(0), 0);
  EXPECT_EQ(bucket(-7), 7);
  EXPECT_EQ(bucket(7), 23);
  EXPECT_EQ(bucket(-8), 8);
  EXPECT_EQ(bucket(-11), 8);
  EXPECT_EQ(bucket(-12), 9);
  EXPECT_EQ(bucket(-16), 10);
  EXPECT_EQ(bucket(16), 26);
  EXPECT_EQ(bucket(-64), 14);
  EXPECT_EQ(bucket(-127), 15);
  EXPECT_EQ(bucket(-128), 15);
  EXPECT_EQ(bucket(5000), 31);
}

// With a window the work grows with the length: the scores of a call stay as small.
TEST(AttentionKernelsTest, AWindowNeedsNoMoreMemoryForALongerSequence) {
  onednn::UseOneThread();
  const auto medium = AttentionKernels::Make({4, 64, 1024, 64});
  const auto large = AttentionKernels::Make({4, 64, 8192, 64});
  ASSERT_TRUE(medium.ok() && large.ok());
  EXPECT_EQ((*medium)->workspace_bytes(), (*large)->workspace_bytes());
}

TEST(AttentionKernelsTest, NoLengthFallsBackToReferenceCode) {
  onednn::UseOneThread();
  for (int32_t length = 1; length <= 512; length += (length < 70 ? 1 : 37)) {
    const auto kernels = AttentionKernels::Make({12, 32, length});
    ASSERT_TRUE(kernels.ok()) << kernels.status();
    for (const std::string_view name :
         {(*kernels)->scores_implementation(), (*kernels)->softmax_implementation(),
          (*kernels)->weighted_implementation()}) {
      EXPECT_EQ(name.find("ref"), std::string_view::npos) << name << " at length " << length;
    }
  }
}

TEST(AttentionKernelCacheTest, KeepsTheMostRecentlyUsedLengths) {
  onednn::UseOneThread();
  const AttentionKernelCache cache({.heads = 2, .head_size = 8}, /*lengths_max=*/3);
  const auto first = cache.Get(1);
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(cache.Get(2).ok() && cache.Get(3).ok());
  EXPECT_EQ(*cache.Get(1), *first);  // Used again: now 2 is the oldest.
  ASSERT_TRUE(cache.Get(4).ok());
  EXPECT_EQ(cache.size(), 3u);
  EXPECT_EQ(*cache.Get(1), *first);
}

}  // namespace
}  // namespace attnd
