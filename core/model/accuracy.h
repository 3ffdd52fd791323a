#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "core/model/encoder.h"
#include "core/model/model_info.h"

namespace attnd {

// Compares the pooled vectors of two encoders of one checkpoint. Each input is a sequence of ids;
// at least three. An error if a kernel cannot be made.
absl::StatusOr<Accuracy> CompareToF32(const Encoder& encoder, const Encoder& f32, Pooling pooling,
                                      std::span<const std::vector<int32_t>> inputs);

}  // namespace attnd
