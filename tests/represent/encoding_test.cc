// Goal: every encoding of a vector is the nearest that its format has, and is as long as it was
// said to be. Method: all binary16 numbers and the middles between them; random floats against the
// two neighbours in double precision; int8 and bits against naive loops.

#include "server/represent/encoding.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;

constexpr VectorEncoding kAll[] = {VectorEncoding::kFloat32, VectorEncoding::kFloat16,
                                   VectorEncoding::kBfloat16, VectorEncoding::kInt8,
                                   VectorEncoding::kBit};

v1::Tensor Encode(const std::vector<float>& vector, VectorEncoding encoding) {
  v1::Tensor tensor;
  WriteVector(vector, encoding, tensor);
  return tensor;
}

uint16_t HalfAt(const v1::Tensor& tensor, size_t index) {
  uint16_t half = 0;
  std::memcpy(&half, tensor.data().data() + index * sizeof(half), sizeof(half));
  return half;
}
uint16_t Half(float value, VectorEncoding encoding) { return HalfAt(Encode({value}, encoding), 0); }

// IEEE 754-2019, table 3.5, by its own formula.
double ValueOfFloat16(uint16_t half) {
  const int exponent = (half >> 10) & 0x1f;
  const int fraction = half & 0x3ff;
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return half & 0x8000 ? -magnitude : magnitude;
}

std::vector<float> RandomVector(size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> vector(size);
  for (float& value : vector) value = normal(random);
  return vector;
}

TEST(Float16Test, EveryNumberOfTheFormatIsItself) {
  for (uint32_t half = 0; half < 0x7c00; ++half) {
    for (const uint32_t sign : {0u, 0x8000u}) {
      const auto expected = static_cast<uint16_t>(half | sign);
      const auto value = static_cast<float>(ValueOfFloat16(expected));
      ASSERT_EQ(Half(value, VectorEncoding::kFloat16), expected) << value;
    }
  }
}

TEST(Float16Test, MiddlesGoToTheEvenNeighbourAndOthersToTheNearest) {
  for (uint16_t half = 0; half < 0x7bff; ++half) {
    const auto next = static_cast<uint16_t>(half + 1);
    const auto middle = static_cast<float>((ValueOfFloat16(half) + ValueOfFloat16(next)) / 2);
    const uint16_t even = half % 2 == 0 ? half : next;
    ASSERT_EQ(Half(middle, VectorEncoding::kFloat16), even) << middle;
    ASSERT_EQ(Half(std::nextafter(middle, 0.0f), VectorEncoding::kFloat16), half) << middle;
    ASSERT_EQ(Half(std::nextafter(middle, 1e9f), VectorEncoding::kFloat16), next) << middle;
  }
}

TEST(Float16Test, WhatIsBeyondTheRangeIsInfinite) {
  EXPECT_EQ(Half(65519.996f, VectorEncoding::kFloat16), 0x7bff);
  EXPECT_EQ(Half(65520.0f, VectorEncoding::kFloat16), 0x7c00);
  EXPECT_EQ(Half(-1e30f, VectorEncoding::kFloat16), 0xfc00);
  EXPECT_EQ(Half(std::numeric_limits<float>::infinity(), VectorEncoding::kFloat16), 0x7c00);
  EXPECT_EQ(Half(1e-30f, VectorEncoding::kFloat16), 0);
  const uint16_t nan = Half(std::nanf(""), VectorEncoding::kFloat16);
  EXPECT_EQ(nan & 0x7c00, 0x7c00);
  EXPECT_NE(nan & 0x3ff, 0);
}

TEST(Bfloat16Test, TheNearestOfTheTwoNeighboursIsTaken) {
  std::mt19937 random(1);
  for (int i = 0; i < 100'000; ++i) {
    const auto value = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (!std::isfinite(value) || std::fabs(value) > 1e38f) continue;
    const auto below = static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16);
    const auto of = [](uint32_t half) { return double{std::bit_cast<float>(half << 16)}; };
    const double to_below = std::fabs(value - of(below));
    const double to_next = std::fabs(value - of(below + 1u));
    const uint16_t result = Half(value, VectorEncoding::kBfloat16);
    if (to_below == to_next) {
      ASSERT_EQ(result, below + below % 2) << value;
    } else {
      ASSERT_EQ(result, to_below < to_next ? below : below + 1) << value;
    }
  }
}

TEST(Bfloat16Test, TiesGoToTheEvenAndNanStaysNan) {
  EXPECT_EQ(Half(std::bit_cast<float>(0x3f808000u), VectorEncoding::kBfloat16), 0x3f80);
  EXPECT_EQ(Half(std::bit_cast<float>(0x3f818000u), VectorEncoding::kBfloat16), 0x3f82);
  const uint16_t nan = Half(std::bit_cast<float>(0x7f800001u), VectorEncoding::kBfloat16);
  EXPECT_EQ(nan & 0x7f80, 0x7f80);
  EXPECT_NE(nan & 0x7f, 0);
}

TEST(Int8Test, NumbersAreQuotientsByTheirVectorsScale) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    const std::vector<float> vector = RandomVector(33, seed);
    const v1::Tensor tensor = Encode(vector, VectorEncoding::kInt8);
    EXPECT_EQ(tensor.dtype(), v1::DATA_TYPE_INT8);
    float largest = 0;
    for (const float value : vector) largest = std::max(largest, std::fabs(value));
    EXPECT_THAT(tensor.scales(), ElementsAre(largest / 127));
    for (size_t i = 0; i < vector.size(); ++i) {
      const auto number = static_cast<int8_t>(tensor.data()[i]);
      EXPECT_EQ(number, static_cast<int>(std::nearbyint(vector[i] / tensor.scales(0))));
      EXPECT_NEAR(number * tensor.scales(0), vector[i], tensor.scales(0) / 2 * 1.0001f);
    }
  }
}

TEST(Int8Test, EdgesOfTheRange) {
  const v1::Tensor zeros = Encode({0, 0, -0.0f}, VectorEncoding::kInt8);
  EXPECT_EQ(zeros.data(), std::string(3, '\0'));
  EXPECT_THAT(zeros.scales(), ElementsAre(0));
  const v1::Tensor ends = Encode({-2, 2, 1}, VectorEncoding::kInt8);
  EXPECT_EQ(ends.data(), std::string("\x81\x7f\x40", 3));  // 63.5 is a tie.
  // So small that the scale is no number above 0, or has few digits.
  for (const float tiny : {std::numeric_limits<float>::denorm_min(), 1e-43f}) {
    const v1::Tensor tensor = Encode({tiny, -tiny}, VectorEncoding::kInt8);
    EXPECT_GE(static_cast<int8_t>(tensor.data()[0]), 0);
    EXPECT_LE(static_cast<int8_t>(tensor.data()[1]), 0);
  }
}

TEST(BitTest, ANumberAboveZeroIsABitAndRowsBeginANewByte) {
  const std::vector<float> rows = {1, 0, -1, 2, 0, 0, 0, 3, 4, /**/ -1, 1, 1, 1, 1, 1, 1, 1, -0.0f};
  v1::Tensor tensor;
  SetShape(VectorEncoding::kBit, std::array<int64_t, 2>{2, 9}, tensor);
  AppendVectors({rows.data(), 2, 9, 9}, VectorEncoding::kBit, tensor);
  EXPECT_EQ(tensor.dtype(), v1::DATA_TYPE_BIT);
  EXPECT_EQ(tensor.data(), std::string("\x91\x80\x7f\x00", 4));
}

TEST(EncodingTest, RowsOfAMatrixAreItsVectorsOneByOne) {
  constexpr int64_t kRows = 5, kColumns = 11, kStride = 16;
  const std::vector<float> matrix = RandomVector(kRows * kStride, 7);
  for (const VectorEncoding encoding : kAll) {
    v1::Tensor tensor;
    SetShape(encoding, std::array{kRows, kColumns}, tensor);
    AppendVectors({matrix.data(), kRows, kColumns, kStride}, encoding, tensor);
    v1::Tensor expected;
    for (int64_t row = 0; row < kRows; ++row) {
      const auto begin = matrix.begin() + row * kStride;
      const v1::Tensor one = Encode({begin, begin + kColumns}, encoding);
      expected.mutable_data()->append(one.data());
      expected.mutable_scales()->MergeFrom(one.scales());
    }
    EXPECT_EQ(tensor.data(), expected.data());
    EXPECT_EQ(tensor.scales_size(), expected.scales_size());
    EXPECT_THAT(tensor.shape(), ElementsAre(kRows, kColumns));
    EXPECT_EQ(static_cast<int64_t>(tensor.data().size() + tensor.scales_size() * sizeof(float)),
              kRows * EncodedBytes(encoding, kColumns));
  }
}

TEST(EncodingTest, Float32IsTheNumbersThemselves) {
  const std::vector<float> vector = RandomVector(5, 3);
  const v1::Tensor tensor = Encode(vector, VectorEncoding::kFloat32);
  EXPECT_EQ(tensor.data(), std::string(reinterpret_cast<const char*>(vector.data()), 20));
  EXPECT_EQ(tensor.dtype(), v1::DATA_TYPE_FLOAT32);
  EXPECT_EQ(tensor.scales_size(), 0);
}

}  // namespace
}  // namespace attnd
