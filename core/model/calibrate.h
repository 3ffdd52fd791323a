#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "core/model/accuracy.h"
#include "core/model/encoder.h"

namespace attnd {

// What the layers' Linears of an encoder in f32 are given while it encodes the inputs (PoolEach),
// and the vectors that it makes of them.
struct Observed {
  InputRanges ranges;
  Vectors pooled;
};
absl::StatusOr<Observed> ObserveInputs(const Encoder& f32, Pooling pooling,
                                       std::span<const std::vector<int32_t>> inputs);

}  // namespace attnd
