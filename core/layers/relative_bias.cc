#include "core/layers/relative_bias.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "core/base/check.h"

namespace attnd {

// Half of a side's buckets hold one distance each; the others grow logarithmically.
int32_t RelativeBias::Bucket(int32_t distance, int32_t buckets, int32_t distance_max) {
  const int32_t side = buckets / 2;
  const int32_t exact = side / 2;
  const int32_t base = distance > 0 ? side : 0;
  const int32_t away = std::abs(distance);
  if (away < exact) return base + away;
  // In f32, in the reference's order: another rounding would move a border by one.
  const float scale =
      static_cast<float>(std::log(double{static_cast<double>(distance_max)} / exact));
  const float logarithm = std::log(static_cast<float>(away) / static_cast<float>(exact));
  const auto grown =
      exact + static_cast<int32_t>(logarithm / scale * static_cast<float>(side - exact));
  return base + std::min(grown, side - 1);
}

RelativeBias::RelativeBias(const Spec& spec, std::span<const float> weight)
    : positions_(spec.positions) {
  CHECK_THAT(static_cast<int64_t>(weight.size()) == int64_t{spec.buckets} * spec.heads);
  std::vector<int32_t> buckets;  // By rising distance.
  for (int32_t distance = 1 - spec.positions; distance < spec.positions; ++distance) {
    buckets.push_back(Bucket(distance, spec.buckets, spec.distance_max));
  }
  by_distance_.reserve(static_cast<size_t>(spec.heads) * buckets.size());
  for (int32_t head = 0; head < spec.heads; ++head) {
    for (const int32_t bucket : buckets) by_distance_.push_back(weight[bucket * spec.heads + head]);
  }
}

}  // namespace attnd
