// Goal: in int8 a Linear computes what its formula says, and a row's bits depend on nothing else.
// Method: the formula in doubles over the same integers; the numbers that are most likely to
// overflow; the same row at many places and row counts, compared bit for bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "core/layers/kernels.h"
#include "core/layers/linear.h"
#include "core/layers/quantize.h"
#include "tests/layers/linear_case.h"
#include "tests/layers/random_values.h"

namespace attnd {
namespace {

using onednn::Epilogue;

using Case = LinearCase;

class Int8LinearTest : public LinearFixture {
 protected:
  Int8LinearTest() : LinearFixture(16 << 20) {}

  void Make(std::vector<float> weight, const std::vector<float>& input_ranges = {}) {
    const auto [in, out, epilogue] = GetParam();
    const auto kernels = cache_.Get({in, out, epilogue, Precision::kInt8});
    ASSERT_TRUE(kernels.ok()) << kernels.status();
    kernels_ = *kernels;
    LinearFixture::Make(kernels_, std::move(weight), input_ranges);
    factors_.assign(static_cast<size_t>(in), 1.0f);
    if (!input_ranges.empty()) factors_ = SmoothingFactors(weight_, input_ranges);
  }

  // The products of the integers that x and the weights become.
  void ExpectFormula(const std::vector<float>& x) {
    const auto [in, out, epilogue] = GetParam();
    const int64_t rows = static_cast<int64_t>(x.size()) / in;
    const std::vector<float> before = RandomFloats(rows * out, 4);
    const std::vector<float> y = Run(x, before);
    std::vector<float> smooth = weight_, inverse;
    for (size_t i = 0; i < smooth.size(); ++i) smooth[i] *= factors_[i % factors_.size()];
    for (const float factor : factors_) inverse.push_back(1 / factor);
    const QuantizedWeights w = QuantizeWeights(smooth, in, kernels_->int8_limits());
    std::vector<unsigned char> q(static_cast<size_t>(in));
    for (int64_t row = 0; row < rows; ++row) {
      float scale = 0, low = 0;
      kernels::Quantize(x.data() + row * in, inverse.data(), q.data(), in, &scale, &low);
      for (int64_t column = 0; column < out; ++column) {
        double sum = bias_[column], size = 0;
        for (int64_t k = 0; k < in; ++k) {
          const double x_k = double{low} + double{scale} * q[k];
          const double product = double{w.scales[column]} * x_k * w.values[column * in + k];
          sum += product;
          size += std::abs(w.scales[column] * w.values[column * in + k] *
                           (255 * double{scale} + std::abs(low)));
        }
        // As large as what is added up can be, with some roundings to f32.
        const double expected = Apply(epilogue, sum, before[row * out + column]);
        ASSERT_NEAR(y[row * out + column], expected, 4e-7 * size + 2e-6)
            << "row " << row << " of " << rows << ", column " << column;
      }
    }
  }

  // The error of y, relative to y, root of mean squares; y being added to nothing.
  double ErrorOf(const std::vector<float>& x) {
    const auto [in, out, epilogue] = GetParam();
    const int64_t rows = static_cast<int64_t>(x.size()) / in;
    const std::vector<float> y = Run(x, std::vector<float>(static_cast<size_t>(rows * out)));
    double error = 0, size = 0;
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t column = 0; column < out; ++column) {
        double sum = bias_[column];
        for (int64_t k = 0; k < in; ++k) sum += double{x[row * in + k]} * weight_[column * in + k];
        const double exact = Apply(epilogue, sum, 0);
        error += std::pow(y[row * out + column] - exact, 2);
        size += exact * exact;
      }
    }
    return std::sqrt(error / size);
  }

  const DenseKernels* kernels_ = nullptr;
  std::vector<float> factors_;
};

TEST_P(Int8LinearTest, ComputesItsFormula) {
  const auto [in, out, epilogue] = GetParam();
  Make(RandomFloats(in * out, 1));
  for (const int64_t rows : {8, 40, 64, 136}) ExpectFormula(RandomFloats(rows * in, 3));
}

TEST_P(Int8LinearTest, BalancesChannelsOfVeryDifferentSize) {
  const auto [in, out, epilogue] = GetParam();
  std::vector<float> ranges = RandomFloats(in, 6);
  for (size_t i = 0; i < ranges.size(); ++i) {
    ranges[i] = std::abs(ranges[i]) * (i % 11 == 0 ? 50.0f : 1.0f);
  }
  std::vector<float> x = RandomFloats(32 * in, 3);
  for (size_t i = 0; i < x.size(); ++i) x[i] *= ranges[i % ranges.size()];
  Make(RandomFloats(in * out, 1));
  const double plain = ErrorOf(x);
  Make(RandomFloats(in * out, 1), ranges);
  ExpectFormula(x);
  EXPECT_LT(ErrorOf(x), 0.8 * plain);
}

TEST_P(Int8LinearTest, TheLargestNumbersDoNotOverflow) {
  const auto [in, out, epilogue] = GetParam();
  std::vector<float> weight(static_cast<size_t>(in * out), 0.5f);
  for (size_t i = 0; i < weight.size(); i += 3) weight[i] = -0.5f;
  std::fill_n(weight.begin(), in, 0.5f);
  Make(weight);
  std::vector<float> x(static_cast<size_t>(8 * in), 3.0f);
  for (int64_t row = 0; row < 8; ++row) x[row * in] = -3.0f;  // Else all are the least.
  ExpectFormula(x);
}

TEST_P(Int8LinearTest, RowsAndWeightsThatAreAllTheSame) {
  const auto [in, out, epilogue] = GetParam();
  std::vector<float> weight = RandomFloats(in * out, 1);
  std::fill_n(weight.begin(), in, 0.0f);
  Make(weight);
  std::vector<float> x(static_cast<size_t>(16 * in), 0.0f);
  std::fill_n(x.begin() + 8 * in, 8 * in, -2.5f);
  ExpectFormula(x);
}

TEST_P(Int8LinearTest, IsCloseToTheProductOfTheRealNumbers) {
  const auto [in, out, epilogue] = GetParam();
  Make(RandomFloats(in * out, 1));
  // Uniform numbers: steps of 2/255 of x and at most 1/64 of w make errors of 0.4 and 0.8 % of
  // theirs.
  const double error = ErrorOf(RandomFloats(32 * in, 3));
  EXPECT_LT(error, 0.012);
  EXPECT_GT(error, 0.0005);
}

TEST_P(Int8LinearTest, ARowHasTheSameBitsAtEveryPlaceAndRowCount) {
  const auto [in, out, epilogue] = GetParam();
  Make(RandomFloats(in * out, 1));
  ExpectSameBitsUpTo(264);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, Int8LinearTest,
    ::testing::Values(Case{48, 144, Epilogue::kNone}, Case{48, 48, Epilogue::kAddToOutput},
                      Case{48, 96, Epilogue::kGeluErf}, Case{37, 29, Epilogue::kRelu},
                      Case{384, 1536, Epilogue::kGeluErf}, Case{1536, 384, Epilogue::kAddToOutput},
                      Case{768, 768, Epilogue::kAddToOutput}));

TEST(Int8KernelsTest, ArePrepackedTakeAQuarterAndSayWhatTheirWeightsAre) {
  onednn::UseOneThread();
  const auto f32 = DenseKernels::Choose({384, 384, Epilogue::kNone});
  const auto int8 = DenseKernels::Choose({384, 384, Epilogue::kNone, Precision::kInt8});
  ASSERT_TRUE(f32.ok() && int8.ok()) << int8.status();
  EXPECT_EQ((*int8)->int8_limits().weight, 127);
  EXPECT_TRUE((*int8)->int8_limits().pair == 254 || (*int8)->int8_limits().pair == 128);
  EXPECT_NE((*int8)->reason().find("exact sums"), std::string::npos);
  EXPECT_LE((*int8)->front().layout().bytes(), (*f32)->front().layout().bytes() / 4 + 4096);
}

TEST(QuantizeTest, IsWithinHalfAStep) {
  for (const float spread : {1e-30f, 1e-3f, 1.0f, 1e6f}) {
    std::vector<float> x = RandomFloats(1001, 9);
    for (float& value : x) value *= spread;
    std::vector<unsigned char> q(x.size());
    float scale = 0, low = 0;
    const std::vector<float> ones(x.size(), 1.0f);
    kernels::Quantize(x.data(), ones.data(), q.data(), static_cast<int64_t>(x.size()), &scale,
                      &low);
    for (size_t i = 0; i < x.size(); ++i) {
      ASSERT_NEAR(low + scale * static_cast<float>(q[i]), x[i], 0.501f * scale) << i;
    }
    EXPECT_EQ(*std::max_element(q.begin(), q.end()), 255);
    EXPECT_EQ(*std::min_element(q.begin(), q.end()), 0);
  }
}

TEST(QuantizeTest, WhatIsNotFiniteIsNotHidden) {
  const std::vector<float> ones(40, 1.0f);
  for (const float value : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
    for (const size_t place : {0, 1, 7, 33, 39}) {
      std::vector<float> x = RandomFloats(40, 3);
      x[place] = value;
      std::vector<unsigned char> q(x.size());
      float scale = 0, low = 0;
      kernels::Quantize(x.data(), ones.data(), q.data(), 40, &scale, &low);
      EXPECT_TRUE(std::isnan(scale)) << value << " at " << place;
    }
  }
}

TEST(QuantizeTest, ARowOfEqualNumbersIsThatNumber) {
  const std::vector<float> x(7, 0.3f);
  std::vector<unsigned char> q(x.size(), 9);
  float scale = 0, low = 0;
  const std::vector<float> ones(x.size(), 1.0f);
  kernels::Quantize(x.data(), ones.data(), q.data(), 7, &scale, &low);
  for (const unsigned char step : q) EXPECT_EQ(low + scale * static_cast<float>(step), 0.3f);
}

TEST(QuantizeWeightsTest, KeepsToTheLimitsAndIsWithinAStep) {
  constexpr int64_t kIn = 37;  // The last has no neighbour.
  std::vector<float> weight = RandomFloats(200 * kIn, 3);
  std::fill_n(weight.begin(), kIn, 0.0f);
  std::fill_n(weight.begin() + kIn, kIn, -0.25f);
  for (const Int8Limits limits :
       {Int8Limits{127, 254}, Int8Limits{127, 128}, Int8Limits{64, 128}}) {
    const QuantizedWeights quantized = QuantizeWeights(weight, kIn, limits);
    for (size_t i = 0; i < weight.size(); ++i) {
      const int value = quantized.values[i];
      const double scale = quantized.scales[i / kIn];
      ASSERT_LE(std::abs(value), limits.weight);
      ASSERT_NEAR(scale * value, weight[i], 1.5001 * scale);
      if (i % kIn % 2 == 0 && i % kIn + 1 < kIn && value * quantized.values[i + 1] > 0) {
        ASSERT_LE(std::abs(value) + std::abs(quantized.values[i + 1]), limits.pair);
      }
    }
    for (size_t output = 0; output < 200; ++output) {
      const auto begin = quantized.values.begin() + static_cast<int64_t>(output) * kIn;
      const double total = std::accumulate(begin, begin + kIn, 0);
      EXPECT_FLOAT_EQ(quantized.totals[output],
                      static_cast<float>(quantized.scales[output] * total));
    }
  }
}

TEST(QuantizeWeightsTest, APairLimitCostsLessThanThatLimitForEach) {
  constexpr int64_t kIn = 384;
  const std::vector<float> weight = RandomFloats(64 * kIn, 5);
  const auto pairs = QuantizeWeights(weight, kIn, {127, 128});
  const auto each = QuantizeWeights(weight, kIn, {64, 128});
  for (size_t output = 0; output < 64; ++output) {
    EXPECT_LE(pairs.scales[output], each.scales[output]);
  }
}

TEST(SmoothingFactorsTest, BringRangesOfInputsAndWeightsTogether) {
  // Two outputs, three inputs; input 1 is large and its weights small.
  const std::vector<float> weight = {1, 0.1f, 0.5f, -0.5f, 0.05f, 1};
  const std::vector<float> factors = SmoothingFactors(weight, std::vector<float>{1, 100, 4});
  ASSERT_EQ(factors.size(), 3U);
  EXPECT_NEAR(factors[0] * factors[1] * factors[2], 1, 1e-5);
  // sqrt of range / weight, up to a common factor.
  EXPECT_NEAR(factors[1] / factors[0], std::sqrt(100 / 0.1), 1e-3);
  EXPECT_NEAR(factors[2] / factors[0], 2, 1e-5);
}

TEST(SmoothingFactorsTest, NothingToBalanceIsLeftAsItIs) {
  for (const float factor : SmoothingFactors(std::vector<float>(6), std::vector<float>(3, 1.0f))) {
    EXPECT_EQ(factor, 1);
  }
  for (const float factor : SmoothingFactors(std::vector<float>(6, 1.0f), std::vector<float>(3))) {
    EXPECT_EQ(factor, 1);
  }
}

}  // namespace
}  // namespace attnd
