#include "core/layers/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace attnd {
namespace {

// A channel's range, or its weights', is taken for no smaller than this part of the mean: one that
// is hardly used says nothing.
constexpr float kSmallest = 0.01f;

bool SameSign(double a, double b) { return (a > 0) == (b > 0); }

// The finest scale at which the row keeps to the limits; 1 for a row of zeros.
double ScaleOf(std::span<const float> row, const Int8Limits& limits) {
  double scale = 0;
  for (size_t i = 0; i < row.size(); ++i) {
    const double a = std::abs(row[i]);
    scale = std::max(scale, a / limits.weight);
    if (i % 2 == 0 && i + 1 < row.size() && SameSign(row[i], row[i + 1])) {
      scale = std::max(scale, (a + std::abs(row[i + 1])) / limits.pair);
    }
  }
  return scale > 0 ? scale : 1;
}

// Rounding may have brought a pair one above the limit: takes it from what was rounded up more.
void KeepToLimit(const double (&exact)[2], int8_t* pair, const Int8Limits& limits) {
  const int sum = std::abs(pair[0]) + std::abs(pair[1]);
  if (!SameSign(pair[0], pair[1]) || sum <= limits.pair) return;
  const double up0 = std::abs(pair[0]) - std::abs(exact[0]);
  const double up1 = std::abs(pair[1]) - std::abs(exact[1]);
  int8_t& larger = up0 >= up1 ? pair[0] : pair[1];
  larger = static_cast<int8_t>(larger > 0 ? larger - 1 : larger + 1);
}

// Each at least kSmallest of their mean.
void RaiseSmall(std::vector<float>& values) {
  double sum = 0;
  for (const float value : values) sum += value;
  const auto least = static_cast<float>(sum / static_cast<double>(values.size())) * kSmallest;
  for (float& value : values) value = std::max(value, least);
}

}  // namespace

QuantizedWeights QuantizeWeights(std::span<const float> weight, int64_t in,
                                 const Int8Limits& limits) {
  QuantizedWeights quantized;
  quantized.values.resize(weight.size());
  for (size_t begin = 0; begin < weight.size(); begin += static_cast<size_t>(in)) {
    const auto row = weight.subspan(begin, static_cast<size_t>(in));
    int8_t* values = quantized.values.data() + begin;
    const double scale = ScaleOf(row, limits);
    for (size_t i = 0; i < row.size(); ++i) {
      values[i] = static_cast<int8_t>(std::nearbyint(row[i] / scale));
      if (i % 2 == 1) KeepToLimit({row[i - 1] / scale, row[i] / scale}, values + i - 1, limits);
    }
    int64_t total = 0;
    for (size_t i = 0; i < row.size(); ++i) total += values[i];
    quantized.scales.push_back(static_cast<float>(scale));
    quantized.totals.push_back(static_cast<float>(scale * static_cast<double>(total)));
  }
  return quantized;
}

std::vector<float> SmoothingFactors(std::span<const float> weight,
                                    std::span<const float> input_ranges) {
  const size_t in = input_ranges.size();
  std::vector<float> ranges(input_ranges.begin(), input_ranges.end()), weights(in);
  for (size_t i = 0; i < weight.size(); ++i) {
    weights[i % in] = std::max(weights[i % in], std::abs(weight[i]));
  }
  RaiseSmall(ranges);
  RaiseSmall(weights);
  std::vector<float> factors(in, 1.0f);
  // All of them zero: nothing to balance.
  if (!(ranges[0] > 0) || !(weights[0] > 0)) return factors;
  double logarithms = 0;
  for (size_t i = 0; i < in; ++i) {
    factors[i] = std::sqrt(ranges[i] / weights[i]);
    logarithms += std::log(double{factors[i]});
  }
  const double mean = std::exp(logarithms / static_cast<double>(in));
  for (float& factor : factors) factor = static_cast<float>(factor / mean);
  return factors;
}

}  // namespace attnd
