#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace attnd {

// What the weights of an int8 product must keep to for its sums to be exact.
struct Int8Limits {
  int weight = 127;
  // Of two inputs that stand side by side, (0, 1), (2, 3) and so on, whose weights have one sign:
  // the sum of their magnitudes. Without VNNI such pairs of products are added in 16 bits.
  int pair = 254;
};

// W = scales[output] * values.
struct QuantizedWeights {
  std::vector<int8_t> values;  // [out, in]
  std::vector<float> scales;   // [out]
  std::vector<float> totals;   // [out]: the scale times the sum of the values.
};

// `weight` is [out, in]. Each output has the finest scale at which its weights keep to the limits.
QuantizedWeights QuantizeWeights(std::span<const float> weight, int64_t in,
                                 const Int8Limits& limits);

// By input: what to divide x and multiply W by, so that neither has channels that are much larger
// than the others and take their steps. `input_ranges` are the largest magnitudes that x has, by
// input. Xiao et al. 2022, "SmoothQuant", equation 4, with alpha 1/2; the geometric mean is 1.
std::vector<float> SmoothingFactors(std::span<const float> weight,
                                    std::span<const float> input_ranges);

}  // namespace attnd
