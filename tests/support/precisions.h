#pragma once

#include <cstdlib>
#include <vector>

#include "core/base/check.h"
#include "core/layers/dense_kernels.h"
#include "core/tensor/onednn.h"

namespace attnd::testing {

// True if this CPU computes in bf16. Where ATTND_EXPECT_BF16 is set it must, so that a run that is
// there for bf16 cannot pass without.
inline bool ComputesBf16() {
  const bool computes = onednn::HasBf16();
  CHECK_THAT(computes || std::getenv("ATTND_EXPECT_BF16") == nullptr);
  return computes;
}

// What this CPU computes in; a test that goes through these covers bf16 where it can be had, and
// tests/layers/bf16_linear_test.cc has what happens where it can't.
inline std::vector<Precision> PrecisionsHere() {
  std::vector<Precision> here = {Precision::kF32, Precision::kInt8};
  if (ComputesBf16()) here.push_back(Precision::kBf16);
  return here;
}

}  // namespace attnd::testing
