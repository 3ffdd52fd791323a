#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace attnd {

// What is added to the score of a query and a key by their distance alone, head by head: one
// learned number for each bucket of distances. Raffel et al. 2020, "Exploring the Limits of
// Transfer Learning", section 2.1. Immutable.
class RelativeBias {
 public:
  struct Spec {
    int32_t heads = 0;
    int32_t buckets = 0;       // Even: one half looks back, the other ahead.
    int32_t distance_max = 0;  // From here on all distances share a bucket.
    int32_t positions = 0;     // The longest sequence.
  };
  // `weight` is [buckets, heads].
  RelativeBias(const Spec& spec, std::span<const float> weight);

  // For one head and query: what is added to the score of key 0, 1, … up to the longest sequence.
  const float* Row(int64_t head, int64_t query) const {
    return by_distance_.data() + head * (2 * positions_ - 1) + positions_ - 1 - query;
  }
  size_t bytes() const { return by_distance_.size() * sizeof(float); }

  // The bucket of a key that stands `distance` places after the query (before it, if negative).
  static int32_t Bucket(int32_t distance, int32_t buckets, int32_t distance_max);

 private:
  int64_t positions_;
  std::vector<float> by_distance_;  // [heads, 2 positions - 1], by rising key - query.
};

}  // namespace attnd
