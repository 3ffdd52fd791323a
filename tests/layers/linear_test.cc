// Goal: a Linear computes what its formula says, for any number of rows, and a row's bits depend on
// nothing else. Method: naive double loops over random numbers; the same row at many places and row
// counts, compared bit for bit.
#include "core/layers/linear.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "core/base/parallel.h"
#include "core/layers/feed_forward.h"
#include "core/layers/head.h"
#include "gtest/gtest.h"
#include "tests/layers/linear_case.h"
#include "tests/layers/random_values.h"

namespace attnd {
namespace {

using onednn::Epilogue;
using Case = LinearCase;

constexpr size_t kWorkspaceBytes = 64 << 20;

class LinearTest : public LinearFixture {
 protected:
  LinearTest() : LinearFixture(kWorkspaceBytes) {}

  void SetUp() override {
    const auto [in, out, epilogue] = GetParam();
    const auto kernels = cache_.Get({in, out, epilogue});
    ASSERT_TRUE(kernels.ok()) << kernels.status();
    Make(*kernels, RandomFloats(in * out, 1));
  }
};

TEST_P(LinearTest, AgreesWithNaiveLoops) {
  const auto [in, out, epilogue] = GetParam();
  for (const int64_t rows : {8, 40, 56, 200}) {
    const std::vector<float> x = RandomFloats(rows * in, 3);
    const std::vector<float> before = RandomFloats(rows * out, 4);
    const std::vector<float> y = Run(x, before);
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t column = 0; column < out; ++column) {
        double sum = bias_[column];
        for (int64_t k = 0; k < in; ++k) {
          sum += double{x[row * in + k]} * weight_[column * in + k];
        }
        const double expected = Apply(epilogue, sum, before[row * out + column]);
        // An f32 sum of `in` products of numbers up to 1; the activations' polynomials add a few
        // ulp.
        ASSERT_NEAR(y[row * out + column], expected, 2e-7 * static_cast<double>(in) + 2e-6)
            << "row " << row << " of " << rows << ", column " << column;
      }
    }
  }
}

TEST_P(LinearTest, ARowHasTheSameBitsAtEveryPlaceAndRowCount) {
  const auto [in, out, epilogue] = GetParam();
  std::vector<int64_t> counts;
  for (int64_t rows = kRowStep; rows <= 1032; rows += (rows < 128 ? kRowStep : 13 * kRowStep)) {
    counts.push_back(rows);
  }
  ExpectSameBitsAtEveryPlace(in, out, counts,
                             [&](const auto& x, const auto& y) { return Run(x, y); });
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, LinearTest,
    ::testing::Values(Case{48, 144, Epilogue::kNone}, Case{48, 48, Epilogue::kAddToOutput},
                      Case{48, 96, Epilogue::kGeluErf}, Case{37, 29, Epilogue::kGeluTanh},
                      Case{16, 24, Epilogue::kRelu}, Case{48, 48, Epilogue::kTanh},
                      Case{384, 1536, Epilogue::kGeluErf}, Case{384, 384, Epilogue::kAddToOutput},
                      // Shapes where oneDNN 3.7.2 on AVX2 has no kernel at some row counts, or
                      // none in the usual layout.
                      Case{64, 64, Epilogue::kNone}, Case{128, 128, Epilogue::kAddToOutput},
                      Case{768, 768, Epilogue::kAddToOutput}));

TEST(DenseKernelsTest, ChosenKernelsArePrepackedAndShared) {
  onednn::UseOneThread();
  DenseKernelCache cache;
  const auto kernels = cache.Get({64, 192, Epilogue::kNone});
  ASSERT_TRUE(kernels.ok()) << kernels.status();
  const std::string name = (*kernels)->implementation();
  EXPECT_TRUE(name.starts_with("brg") || name.starts_with("jit_1x1")) << name;
  EXPECT_FALSE((*kernels)->reason().empty());
  EXPECT_EQ(*cache.Get({64, 192, Epilogue::kNone}), *kernels);
}

TEST(DenseKernelsTest, LargestTakesTheBiggestCountThatFits) {
  onednn::UseOneThread();
  const auto kernels = DenseKernels::Choose({16, 16, Epilogue::kNone});
  ASSERT_TRUE(kernels.ok()) << kernels.status();
  EXPECT_EQ((*kernels)->Largest(8).rows, kRowStep);
  EXPECT_EQ((*kernels)->Largest(15).rows, kRowStep);
  int64_t before = 0;
  for (const int64_t rows : kRowCounts) {
    const int64_t largest = (*kernels)->Largest(rows).rows;
    EXPECT_LE(largest, rows);
    EXPECT_GE(largest, before);
    before = largest;
  }
  EXPECT_EQ((*kernels)->Largest(100'000).rows, before);
}

TEST(FeedForwardTest, InPlaceAndByTilesItIsTheSumOfItsParts) {
  onednn::UseOneThread();
  constexpr int64_t kHidden = 32, kInner = 64, kRows = FeedForward::kTileRows + 24;
  DenseKernelCache cache;
  const auto up_kernels = cache.Get({kHidden, kInner, Epilogue::kGeluErf});
  const auto down_kernels = cache.Get({kInner, kHidden, Epilogue::kAddToOutput});
  ASSERT_TRUE(up_kernels.ok() && down_kernels.ok());
  const auto up = RandomFloats(kHidden * kInner, 1), up_bias = RandomFloats(kInner, 2);
  const auto down = RandomFloats(kHidden * kInner, 3), down_bias = RandomFloats(kHidden, 4);
  Workspace workspace(kWorkspaceBytes);
  workspace.Poison();

  const std::vector<float> x = RandomFloats(kRows * kHidden, 5);
  std::vector<float> inner(kRows * kInner), expected = x, y = x;
  Linear(*up_kernels, up, up_bias)
      .Run({x.data(), kRows, kHidden, kHidden}, workspace, {inner.data(), kRows, kInner, kInner});
  Linear(*down_kernels, down, down_bias)
      .Run({inner.data(), kRows, kInner, kInner}, workspace,
           {expected.data(), kRows, kHidden, kHidden});

  const FeedForward ffn(Linear(*up_kernels, up, up_bias), nullptr,
                        Linear(*down_kernels, down, down_bias));
  const Matrix in_place{y.data(), kRows, kHidden, kHidden};
  ffn.Run(in_place, workspace, in_place);
  EXPECT_EQ(y, expected);
}

TEST(FeedForwardTest, AGateMultipliesWhatTheActivationHasMade) {
  onednn::UseOneThread();
  constexpr int64_t kHidden = 32, kInner = 64, kRows = FeedForward::kTileRows + 8;
  DenseKernelCache cache;
  const auto up_kernels = cache.Get({kHidden, kInner, Epilogue::kSilu});
  const auto gate_kernels = cache.Get({kHidden, kInner, Epilogue::kNone});
  const auto down_kernels = cache.Get({kInner, kHidden, Epilogue::kAddToOutput});
  ASSERT_TRUE(up_kernels.ok() && gate_kernels.ok() && down_kernels.ok());
  const auto up = RandomFloats(kHidden * kInner, 1), gate = RandomFloats(kHidden * kInner, 2);
  const auto down = RandomFloats(kHidden * kInner, 3);
  const std::vector<float> inner_bias = RandomFloats(kInner, 4), bias(kHidden, 0.0f);
  Workspace workspace(kWorkspaceBytes);
  workspace.Poison();
  const std::vector<float> x = RandomFloats(kRows * kHidden, 5);
  std::vector<float> y(kRows * kHidden, 1.0f);
  const FeedForward ffn(Linear(*up_kernels, up, inner_bias),
                        std::make_unique<const Linear>(*gate_kernels, gate, inner_bias),
                        Linear(*down_kernels, down, bias));
  ffn.Run({x.data(), kRows, kHidden, kHidden}, workspace, {y.data(), kRows, kHidden, kHidden});
  for (const int64_t row : {int64_t{0}, kRows - 1}) {
    for (int64_t out = 0; out < kHidden; ++out) {
      double expected = 1;
      for (int64_t i = 0; i < kInner; ++i) {
        double a = inner_bias[i], b = inner_bias[i];
        for (int64_t k = 0; k < kHidden; ++k) {
          a += double{x[row * kHidden + k]} * up[i * kHidden + k];
          b += double{x[row * kHidden + k]} * gate[i * kHidden + k];
        }
        expected += a / (1 + std::exp(-a)) * b * down[out * kInner + i];
      }
      EXPECT_NEAR(y[row * kHidden + out], expected, 2e-3) << "row " << row << ", output " << out;
    }
  }
}

// Slabs of a wide output, rows named in any order, and the largest over all rows.
TEST(HeadTest, ScoresNamedRowsThroughEverySlabAndFindsTheLargest) {
  onednn::UseOneThread();
  constexpr int64_t kHidden = 16, kOutputs = Head::kSlabOutputsMax + 37, kRows = 70;
  const int64_t slab = Head::SlabOutputs(kOutputs);
  ASSERT_EQ(slab, Head::kSlabOutputsMax);
  DenseKernelCache cache;
  const auto kernels = cache.Get({kHidden, slab, Epilogue::kNone});
  ASSERT_TRUE(kernels.ok()) << kernels.status();
  std::vector<float> weight = RandomFloats(2 * slab * kHidden, 1), bias = RandomFloats(2 * slab, 2);
  // What fills the last slab up is never an answer, however large.
  std::fill(bias.begin() + kOutputs, bias.end(), 1e6f);
  Head::Layers layers;
  for (const int64_t first : {int64_t{0}, slab}) {
    layers.slabs.emplace_back(*kernels, std::span(weight).subspan(first * kHidden, slab * kHidden),
                              std::span(bias).subspan(first, slab));
  }
  const Head head(std::move(layers), kOutputs);
  const std::vector<float> x = RandomFloats(kRows * kHidden, 3);
  const auto score = [&](int64_t row, int64_t output) {
    double sum = bias[output];
    for (int64_t k = 0; k < kHidden; ++k) {
      sum += double{x[row * kHidden + k]} * weight[output * kHidden + k];
    }
    return sum;
  };
  Workspace workspace(kWorkspaceBytes);
  workspace.Poison();
  const ConstMatrix rows{x.data(), kRows, kHidden, kHidden};
  const std::vector<int32_t> wanted{69, 0, 3};
  std::vector<float> logits(wanted.size() * kOutputs), largest(kOutputs);
  head.Run(rows, wanted, workspace, logits.data());
  head.RunMax(rows, workspace, largest.data());
  for (int64_t output = 0; output < kOutputs; output += 11) {
    for (size_t i = 0; i < wanted.size(); ++i) {
      EXPECT_NEAR(logits[i * kOutputs + output], score(wanted[i], output), 1e-4);
    }
    double most = -1e30;
    for (int64_t row = 0; row < kRows; ++row) most = std::max(most, score(row, output));
    EXPECT_NEAR(largest[output], most, 1e-4);
  }
}

TEST(DenseKernelCacheTest, GivesAllThreadsTheSameKernels) {
  const std::array<DenseKernels::Shape, 4> shapes = {{{32, 32, Epilogue::kNone},
                                                      {32, 64, Epilogue::kNone},
                                                      {64, 32, Epilogue::kGeluErf},
                                                      {64, 64, Epilogue::kAddToOutput}}};
  DenseKernelCache cache;
  // ThreadSanitizer does not see how oneDNN, which is built without it, orders its own start and
  // the making of two equal primitives: so neither happens on two threads here.
  ASSERT_TRUE(cache.Get(shapes[0]).ok());
  std::vector<const DenseKernels*> got(shapes.size() * 8);
  const auto get = [&](int64_t index) -> absl::Status {
    onednn::UseOneThread();
    auto kernels = cache.Get(shapes[static_cast<size_t>(index) % shapes.size()]);
    if (kernels.ok()) got[static_cast<size_t>(index)] = *kernels;
    return kernels.status();
  };
  ASSERT_TRUE(ParallelFor(static_cast<int64_t>(shapes.size()), 4, get).ok());
  ASSERT_TRUE(ParallelFor(static_cast<int64_t>(got.size()), 4, get).ok());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i], got[i % shapes.size()]);
    EXPECT_EQ(got[i]->shape(), shapes[i % shapes.size()]);
  }
}

}  // namespace
}  // namespace attnd
