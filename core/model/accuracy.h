#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "core/model/encoder.h"
#include "core/model/model_info.h"

namespace attnd {

using Vectors = std::vector<std::vector<float>>;

// The pooled vectors of the inputs, sequences of ids, each encoded by itself. `begin` is called
// with the length of each before that. An error if a kernel cannot be made.
absl::StatusOr<Vectors> PoolEach(
    const Encoder& encoder, Pooling pooling, std::span<const std::vector<int32_t>> inputs,
    Encoder::Scratch& scratch, absl::FunctionRef<void(size_t tokens)> begin = [](size_t) {});

// Compares the pooled vectors of an encoder with those of the same checkpoint in f32; of at least
// three inputs.
Accuracy CompareToF32(const Vectors& vectors, const Vectors& f32);

}  // namespace attnd
