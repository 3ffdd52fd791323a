#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/tensor/matrix.h"

namespace attnd {

// Rotary positions: queries and keys are turned by an angle that grows with their place, so that
// their product depends on the distance alone. Su et al. 2021, "RoFormer", section 3.2. Immutable.
class Rotary {
 public:
  struct Spec {
    int32_t heads = 0;
    int32_t head_size = 0;  // Even.
    int32_t positions = 0;
    float theta = 0;  // Pair i of position p turns by p * theta^(-2i / head_size).
  };
  explicit Rotary(const Spec& spec);

  // Turns the queries and keys of a sequence's rows [Q | K | V], the first being at `position`.
  void Run(Matrix qkv, int64_t position = 0) const;
  size_t bytes() const { return (cosines_.size() + sines_.size()) * sizeof(float); }

 private:
  int32_t heads_;
  int64_t half_;
  std::vector<float> cosines_, sines_;  // [positions, head_size / 2]
};

}  // namespace attnd
