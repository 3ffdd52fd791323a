// Goal: in bf16 a Linear computes what its formula says, a row's bits depend on nothing else, and a
// CPU that has no instructions for it says so. Method: the formula in doubles over the rounded
// numbers; the same row at many places and row counts, compared bit for bit; rounding compared with
// the two neighbours of a number. What needs the instructions runs where they are.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <utility>
#include <vector>

#include "core/layers/kernels.h"
#include "core/layers/linear.h"
#include "tests/layers/linear_case.h"
#include "tests/layers/random_values.h"
#include "tests/support/precisions.h"

namespace attnd {
namespace {

using onednn::Epilogue;
using Case = LinearCase;

float Widened(unsigned short bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

std::vector<float> Rounded(const std::vector<float>& values) {
  std::vector<unsigned short> bits(values.size());
  kernels::RoundToBf16(values.data(), bits.data(), static_cast<long>(values.size()));
  std::vector<float> rounded;
  for (const unsigned short value : bits) rounded.push_back(Widened(value));
  return rounded;
}

TEST(RoundToBf16Test, TakesTheNearestAndOfTwoTheEvenOne) {
  const std::vector<float> x = RandomFloats(1001, 9), y = Rounded(x);
  for (size_t i = 0; i < x.size(); ++i) {
    const uint32_t below = std::bit_cast<uint32_t>(x[i]) & 0xffff0000U;
    const float low = std::bit_cast<float>(below), high = std::bit_cast<float>(below + 0x10000U);
    EXPECT_EQ(y[i], std::abs(x[i] - low) <= std::abs(high - x[i]) ? low : high) << x[i];
  }
  // Exactly between two; the first's lower neighbour is even, the second's upper one.
  const auto bits_of = [](uint32_t bits) {
    return std::bit_cast<uint32_t>(Rounded({std::bit_cast<float>(bits)})[0]);
  };
  EXPECT_EQ(bits_of(0x3f808000U), 0x3f800000U);
  EXPECT_EQ(bits_of(0x3f818000U), 0x3f820000U);
}

TEST(RoundToBf16Test, WhatIsNotFiniteStaysWhatItIs) {
  const float tiny_nan = std::bit_cast<float>(0x7f800001U), full_nan = std::bit_cast<float>(~0U);
  for (const float nan : {std::nanf(""), tiny_nan, full_nan}) {
    EXPECT_TRUE(std::isnan(Rounded({nan})[0]));
  }
  EXPECT_EQ(Rounded({HUGE_VALF})[0], HUGE_VALF);
  EXPECT_EQ(Rounded({-HUGE_VALF})[0], -HUGE_VALF);
  EXPECT_TRUE(std::signbit(Rounded({-0.0f})[0]));
}

class Bf16LinearTest : public LinearFixture {
 protected:
  Bf16LinearTest() : LinearFixture(16 << 20) {}

  // False where the CPU has no bf16, and then the error says so.
  bool MakeLinear() {
    const auto [in, out, epilogue] = GetParam();
    const auto kernels = cache_.Get({in, out, epilogue, Precision::kBf16});
    EXPECT_EQ(kernels.ok(), testing::ComputesBf16()) << kernels.status();
    if (!kernels.ok()) {
      EXPECT_EQ(kernels.status().code(), absl::StatusCode::kUnimplemented);
      EXPECT_THAT(std::string(kernels.status().message()),
                  ::testing::AllOf(::testing::HasSubstr("bf16 needs AVX-512 BF16"),
                                   ::testing::HasSubstr(onednn::Isa())));
      return false;
    }
    Make(*kernels, RandomFloats(in * out, 1));
    return true;
  }
};

TEST_P(Bf16LinearTest, ComputesItsFormula) {
  if (!MakeLinear()) return;
  const auto [in, out, epilogue] = GetParam();
  for (const int64_t rows : {8, 40, 136}) {
    const std::vector<float> x = RandomFloats(rows * in, 3), before = RandomFloats(rows * out, 4);
    const std::vector<float> y = Run(x, before), rounded = Rounded(x), weight = Rounded(weight_);
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t column = 0; column < out; ++column) {
        double sum = bias_[column], size = std::abs(bias_[column]);
        for (int64_t k = 0; k < in; ++k) {
          const double product = double{rounded[row * in + k]} * weight[column * in + k];
          sum += product;
          size += std::abs(product);
        }
        // Products are exact in f32; sums round.
        const double expected = Apply(epilogue, sum, before[row * out + column]);
        ASSERT_NEAR(y[row * out + column], expected, 1e-6 * size + 2e-6)
            << "row " << row << " of " << rows << ", column " << column;
      }
    }
  }
}

TEST_P(Bf16LinearTest, ARowHasTheSameBitsAtEveryPlaceAndRowCount) {
  if (!MakeLinear()) return;
  ExpectSameBitsUpTo(200);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, Bf16LinearTest,
    ::testing::Values(Case{48, 144, Epilogue::kNone}, Case{48, 48, Epilogue::kAddToOutput},
                      Case{48, 96, Epilogue::kGeluErf}, Case{37, 29, Epilogue::kRelu},
                      // 8 rows of these, and of 29 outputs, are AVX-512's where 64 are AMX's.
                      Case{32, 32, Epilogue::kNone}, Case{64, 3, Epilogue::kNone},
                      Case{384, 1, Epilogue::kTanh}, Case{32, 16, Epilogue::kNone},
                      Case{384, 1536, Epilogue::kGeluErf}, Case{1536, 384, Epilogue::kAddToOutput},
                      Case{768, 768, Epilogue::kAddToOutput}));

TEST(Bf16KernelsTest, TakeHalfTheMemoryOfF32) {
  if (!testing::ComputesBf16()) return;
  onednn::UseOneThread();
  for (const auto& [in, out] : {std::pair(384, 1536), std::pair(768, 768)}) {
    const auto f32 = DenseKernels::Choose({in, out, Epilogue::kNone});
    const auto bf16 = DenseKernels::Choose({in, out, Epilogue::kNone, Precision::kBf16});
    ASSERT_TRUE(f32.ok() && bf16.ok()) << bf16.status();
    EXPECT_LE((*bf16)->front().layout().bytes(), (*f32)->front().layout().bytes() / 2 + 4096);
  }
}

}  // namespace
}  // namespace attnd
