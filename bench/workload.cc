#include "bench/workload.h"

#include <algorithm>
#include <cmath>
#include <random>

namespace attnd::bench {
namespace {

// numpy.random.RandomState(seed).normal: the polar method over MT19937 with 53-bit uniforms.
class LegacyNormal {
 public:
  explicit LegacyNormal(uint32_t seed) : random_(seed) {}

  double operator()() {
    if (has_spare_) {
      has_spare_ = false;
      return spare_;
    }
    double a = 0, b = 0, square = 0;
    do {
      a = 2.0 * Uniform() - 1.0;
      b = 2.0 * Uniform() - 1.0;
      square = a * a + b * b;
    } while (square >= 1.0 || square == 0.0);
    const double factor = std::sqrt(-2.0 * std::log(square) / square);
    spare_ = factor * a;
    has_spare_ = true;
    return factor * b;
  }

 private:
  double Uniform() {
    const uint32_t high = static_cast<uint32_t>(random_()) >> 5;
    const uint32_t low = static_cast<uint32_t>(random_()) >> 6;
    return (high * 67108864.0 + low) / 9007199254740992.0;
  }

  std::mt19937 random_;
  double spare_ = 0;
  bool has_spare_ = false;
};

}  // namespace

std::vector<int32_t> MixLengths(int32_t count, uint32_t seed) {
  LegacyNormal normal(seed);
  std::vector<int32_t> lengths(static_cast<size_t>(count));
  for (int32_t& length : lengths) {
    const double drawn = std::exp(std::log(24.0) + 0.9 * normal());
    length = std::clamp(static_cast<int32_t>(std::nearbyint(drawn)), 4, 512);
  }
  return lengths;
}

std::vector<int32_t> WorkloadLengths(std::string_view name) {
  if (name == "w1_16") return {16};
  if (name == "w1_128") return {128};
  if (name == "w1_512") return {512};
  if (name == "w2") return std::vector<int32_t>(32, 128);
  if (name == "w3") return MixLengths(256, 7);
  if (name == "w4") return std::vector<int32_t>(8, 512);
  return {};
}

double ModelFlops(const ModelShape& shape, const std::vector<int32_t>& lengths) {
  const double hidden = shape.hidden;
  const double projections = 2 * (4 * hidden * hidden + 2 * hidden * shape.inner);
  double flops = 0;
  for (const double length : lengths) {
    flops += shape.layers * (length * projections + 4 * length * length * hidden);
  }
  return flops;
}

}  // namespace attnd::bench
