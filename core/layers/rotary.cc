#include "core/layers/rotary.h"

#include <cmath>

#include "core/base/check.h"
#include "core/layers/kernels.h"

namespace attnd {

Rotary::Rotary(const Spec& spec) : heads_(spec.heads), half_(spec.head_size / 2) {
  CHECK_THAT(spec.head_size % 2 == 0);
  const auto size = static_cast<size_t>(spec.positions) * static_cast<size_t>(half_);
  cosines_.reserve(size);
  sines_.reserve(size);
  for (int32_t position = 0; position < spec.positions; ++position) {
    for (int64_t i = 0; i < half_; ++i) {
      // In f32, as checkpoints were trained: at position 8,000 the rounding of the angle is 5e-4,
      // more than what f32 does to anything else.
      const float exponent = static_cast<float>(2 * i) / static_cast<float>(2 * half_);
      const float frequency = 1.0f / std::pow(spec.theta, exponent);
      const float angle = static_cast<float>(position) * frequency;
      cosines_.push_back(static_cast<float>(std::cos(double{angle})));
      sines_.push_back(static_cast<float>(std::sin(double{angle})));
    }
  }
}

void Rotary::Run(Matrix qkv, int64_t position) const {
  for (int64_t row = 0; row < qkv.rows; ++row) {
    // Queries and keys stand side by side: twice as many heads.
    const int64_t angles = (position + row) * half_;
    kernels::Rotate(qkv.row(row), 2 * int64_t{heads_}, half_, cosines_.data() + angles,
                    sines_.data() + angles);
  }
}

}  // namespace attnd
