// Goal: the probe turns down kernels whose bits depend on the row count, on the place, or on the
// order in which they add. Method: kernels made here, right ones and ones with each of these
// faults, also where there is one output to tell by; and the plain matmul of AVX2, which is known
// to differ.
#include "core/layers/dense_probe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <tuple>
#include <vector>

#include "core/layers/kernels.h"
#include "core/tensor/aligned_buffer.h"
#include "core/tensor/onednn.h"

namespace attnd {
namespace {

using onednn::Dense;
using onednn::DenseKind;
using onednn::Epilogue;

enum class Order { kForward, kBackward, kEvenThenOdd };

// x W^T + bias in f32, each output added up in one order.
class NaiveKernel {
 public:
  NaiveKernel(const DenseKernels::Shape& shape, const DenseProbe& probe)
      : shape_(shape), weights_(static_cast<const float*>(probe.weights())) {}

  void Run(Order order, int64_t rows, const void* x, const float* bias, float* y) const {
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t output = 0; output < shape_.out; ++output) {
        y[row * shape_.out + output] = Sum(order, x, row, output) + bias[output];
      }
    }
  }

 private:
  float Product(const void* x, int64_t row, int64_t output, int64_t i) const {
    const float weight = weights_[output * shape_.in + i];
    const int64_t at = row * shape_.in + i;
    if (shape_.precision == Precision::kF32) return static_cast<const float*>(x)[at] * weight;
    unsigned short rounded = 0;
    kernels::RoundToBf16(&weight, &rounded, 1);
    return Widened(static_cast<const uint16_t*>(x)[at]) * Widened(rounded);
  }

  float Sum(Order order, const void* x, int64_t row, int64_t output) const {
    float sum = 0, odd = 0;
    for (int64_t i = 0; i < shape_.in; ++i) {
      const int64_t at = order == Order::kBackward ? shape_.in - 1 - i : i;
      const float product = Product(x, row, output, at);
      (order == Order::kEvenThenOdd && i % 2 == 1 ? odd : sum) += product;
    }
    return sum + odd;
  }

  static float Widened(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

  DenseKernels::Shape shape_;
  const float* weights_;
};

class DenseProbeTest : public ::testing::TestWithParam<std::tuple<int64_t, int64_t, Precision>> {
 protected:
  DenseProbeTest() {
    std::tie(shape_.in, shape_.out, shape_.precision) = GetParam();
    probe_ = DenseProbe::ForFloats(shape_);
  }

  bool Accepts(Order order, int64_t rows) {
    const NaiveKernel kernel(shape_, *probe_);
    return probe_->Accepts(rows, [&](const void* x, const float* bias, float* y) {
      kernel.Run(order, rows, x, bias, y);
    });
  }

  DenseKernels::Shape shape_;
  std::unique_ptr<DenseProbe> probe_;
};

TEST_P(DenseProbeTest, OneOrderOfAddingIsAcceptedAtAllRowCounts) {
  for (const int64_t rows : kRowCounts) EXPECT_TRUE(Accepts(Order::kForward, rows)) << rows;
  // Another is as good for another layout.
  probe_->Restart();
  for (const int64_t rows : kRowCounts) EXPECT_TRUE(Accepts(Order::kBackward, rows)) << rows;
}

TEST_P(DenseProbeTest, AnotherOrderOfAddingIsTurnedDown) {
  EXPECT_TRUE(Accepts(Order::kForward, kRowStep));
  EXPECT_FALSE(Accepts(Order::kBackward, 16));
  EXPECT_FALSE(Accepts(Order::kEvenThenOdd, 16));
}

TEST_P(DenseProbeTest, AnOrderThatDependsOnThePlaceIsTurnedDown) {
  const NaiveKernel kernel(shape_, *probe_);
  for (int64_t place = 0; place < kRowStep; ++place) {
    probe_->Restart();
    EXPECT_FALSE(probe_->Accepts(kRowStep,
                                 [&](const void* x, const float* bias, float* y) {
                                   kernel.Run(Order::kForward, kRowStep, x, bias, y);
                                   std::vector<float> other(
                                       static_cast<size_t>(kRowStep * shape_.out));
                                   kernel.Run(Order::kBackward, kRowStep, x, bias, other.data());
                                   std::copy_n(&other[static_cast<size_t>(place * shape_.out)],
                                               shape_.out, y + place * shape_.out);
                                 }))
        << "place " << place;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, DenseProbeTest,
                         ::testing::Combine(::testing::Values(64, 384), ::testing::Values(3, 48),
                                            ::testing::Values(Precision::kF32, Precision::kBf16)));
// Of few inputs and outputs, a row or two may have the same bits by chance.
INSTANTIATE_TEST_SUITE_P(SmallShapes, DenseProbeTest,
                         ::testing::Combine(::testing::Values(32), ::testing::Values(16, 32),
                                            ::testing::Values(Precision::kF32, Precision::kBf16)));

TEST(DenseProbeMatmulTest, ThePlainMatmulOfAvx2IsTurnedDown) {
  onednn::UseOneThread();
  const DenseKernels::Shape shape{384, 384, Epilogue::kNone};
  const auto probe = DenseProbe::ForFloats(shape);
  Dense::Spec spec{.kind = DenseKind::kMatmul, .rows = kRowStep, .in = shape.in, .out = shape.out};
  const auto few = Dense::Make(spec);
  ASSERT_TRUE(few.ok()) << few.status();
  if (!few->implementation().starts_with("gemm")) {
    GTEST_SKIP() << "matmul is " << few->implementation() << " here";
  }
  AlignedBuffer packed(few->layout().bytes());
  few->Pack(probe->weights(), packed.data());
  spec.layout = &few->layout();
  bool accepts = true;
  for (const int64_t rows : kRowCounts) {
    spec.rows = rows;
    const auto dense = Dense::Make(spec);
    ASSERT_TRUE(dense.ok()) << dense.status();
    AlignedBuffer scratchpad(dense->scratchpad_bytes());
    accepts &= probe->Accepts(rows, [&](const void* x, const float* bias, float* y) {
      dense->Run(x, packed.data(), bias, scratchpad.data(), y);
    });
  }
  EXPECT_FALSE(accepts);
}

}  // namespace
}  // namespace attnd
