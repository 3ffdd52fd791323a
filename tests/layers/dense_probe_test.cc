// Goal: the probe turns down kernels whose bits depend on the row count or on the place. Method:
// real kernels, one of which is known to (the plain matmul of AVX2), and weights that change under
// it.
#include "core/layers/dense_probe.h"

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/tensor/aligned_buffer.h"
#include "core/tensor/onednn.h"
#include "gtest/gtest.h"

namespace attnd {
namespace {

using onednn::Dense;
using onednn::DenseKind;
using onednn::Epilogue;

Dense MakeDense(DenseKind kind, const DenseKernels::Shape& shape, int64_t rows,
                const onednn::WeightsLayout* layout = nullptr) {
  onednn::UseOneThread();
  auto dense = Dense::Make({.kind = kind,
                            .rows = rows,
                            .in = shape.in,
                            .out = shape.out,
                            .epilogue = shape.epilogue,
                            .layout = layout});
  EXPECT_TRUE(dense.ok()) << dense.status();
  return *std::move(dense);
}

TEST(DenseProbeTest, OneBitOfOneWeightIsNoticed) {
  // One output: there is little to tell by.
  for (const auto& [out, epilogue] : {std::pair{1, Epilogue::kNone}, std::pair{48, Epilogue::kRelu},
                                      std::pair{48, Epilogue::kAddToOutput}}) {
    const DenseKernels::Shape shape{64, out, epilogue};
    const auto probe = DenseProbe::ForFloats(shape);
    const Dense kernel = MakeDense(DenseKind::kConvolution1x1, shape, kRowStep);
    AlignedBuffer packed(kernel.layout().bytes());
    probe->Pack(kernel, packed.data());
    EXPECT_TRUE(probe->Accepts(kernel, kRowStep, packed.data())) << out;
    // The first weight of the first output stands first in every layout there is.
    *reinterpret_cast<uint32_t*>(packed.data()) ^= 1U << 16;
    EXPECT_FALSE(probe->Accepts(kernel, kRowStep, packed.data())) << out;
  }
}

TEST(DenseProbeTest, ThePlainMatmulOfAvx2IsTurnedDown) {
  const DenseKernels::Shape shape{384, 384, Epilogue::kNone};
  const auto probe = DenseProbe::ForFloats(shape);
  const Dense few = MakeDense(DenseKind::kMatmul, shape, kRowStep);
  if (!few.implementation().starts_with("gemm")) {
    GTEST_SKIP() << "matmul is " << few.implementation() << " here";
  }
  AlignedBuffer packed(few.layout().bytes());
  probe->Pack(few, packed.data());
  bool accepts = probe->Accepts(few, kRowStep, packed.data());
  std::string names(few.implementation());
  for (const int64_t rows : kRowCounts) {
    const Dense more = MakeDense(DenseKind::kMatmul, shape, rows, &few.layout());
    names += ", " + std::string(more.implementation());
    accepts &= probe->Accepts(more, rows, packed.data());
  }
  EXPECT_FALSE(accepts) << names;
}

}  // namespace
}  // namespace attnd
