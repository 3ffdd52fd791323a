#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "core/model/encoder.h"

namespace attnd {

// What the layers' Linears of an encoder in f32 are given while it encodes the inputs, sequences of
// ids, one by one. An error if a kernel cannot be made.
absl::StatusOr<InputRanges> ObserveInputs(const Encoder& f32,
                                          std::span<const std::vector<int32_t>> inputs);

}  // namespace attnd
