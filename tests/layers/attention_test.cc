// Goal: self-attention over packed rows is softmax(Q K^T) V head by head, at every length, whatever
// the tiling; its kernels are the ones promised; the cache stays within its bound. Method: naive
// double loops, poisoned workspace.
#include "core/layers/attention.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"
#include "tests/layers/random_values.h"

namespace attnd {
namespace {

struct Shape {
  int32_t heads, head_size, length;
};

// qkv [length, 3 width] -> context [length, width].
std::vector<double> Naive(const Shape& shape, const std::vector<float>& qkv) {
  const auto [heads, size, length] = shape;
  const int64_t width = int64_t{heads} * size;
  std::vector<double> context(length * width, 0.0), weights(length);
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
        largest = std::max(largest, weights[key]);
      }
      for (double& weight : weights) sum += weight = std::exp(weight - largest);
      for (int32_t key = 0; key < length; ++key) {
        for (int32_t i = 0; i < size; ++i) {
          context[query * width + head * size + i] +=
              weights[key] / sum * at(key, 2, head * size + i);
        }
      }
    }
  }
  return context;
}

class AttentionTest : public ::testing::TestWithParam<Shape> {};

TEST_P(AttentionTest, AgreesWithNaiveLoops) {
  onednn::UseOneThread();
  const Shape shape = GetParam();
  const auto kernels = AttentionKernels::Make({shape.heads, shape.head_size, shape.length});
  ASSERT_TRUE(kernels.ok()) << kernels.status();
  const int64_t width = int64_t{shape.heads} * shape.head_size;
  const std::vector<float> qkv = RandomFloats(shape.length * 3 * width, 7);
  std::vector<float> context(shape.length * width);
  Workspace workspace((*kernels)->workspace_bytes());
  workspace.Poison();
  (*kernels)->Run(qkv.data(), workspace, context.data());
  const std::vector<double> expected = Naive(shape, qkv);
  for (size_t i = 0; i < context.size(); ++i) {
    ASSERT_NEAR(context[i], expected[i], 1e-5) << "element " << i;
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
  const AttentionKernelCache cache(2, 8, /*lengths_max=*/3);
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
