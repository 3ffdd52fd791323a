#pragma once

#include <vector>

#include "core/layers/dense_kernels.h"
#include "core/tensor/onednn.h"

namespace attnd::testing {

// What this CPU computes in; a test that goes through these covers bf16 where it can be had, and
// tests/layers/bf16_linear_test.cc has what happens where it can't.
inline std::vector<Precision> PrecisionsHere() {
  std::vector<Precision> here = {Precision::kF32, Precision::kInt8};
  if (onednn::HasBf16()) here.push_back(Precision::kBf16);
  return here;
}

}  // namespace attnd::testing
