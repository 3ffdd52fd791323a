#include "client/load/plan.h"

#include <algorithm>
#include <cmath>

namespace attnd::client {
namespace {

// 53 random bits as a number in [0, 1), as numpy's RandomState makes it from two outputs of
// MT19937.
double UniformDouble(std::mt19937& random) {
  const uint32_t high = static_cast<uint32_t>(random()) >> 5;
  const uint32_t low = static_cast<uint32_t>(random()) >> 6;
  return (high * 67108864.0 + low) / 9007199254740992.0;
}

// Marsaglia's polar method, which makes two at a time; the order of the two is RandomState's.
class Gaussian {
 public:
  explicit Gaussian(uint32_t seed) : random_(seed) {}

  double Next() {
    if (has_second_) {
      has_second_ = false;
      return second_;
    }
    double x = 0;
    double y = 0;
    double square = 0;
    do {
      x = 2.0 * UniformDouble(random_) - 1.0;
      y = 2.0 * UniformDouble(random_) - 1.0;
      square = x * x + y * y;
    } while (square >= 1.0 || square == 0.0);
    const double factor = std::sqrt(-2.0 * std::log(square) / square);
    second_ = factor * x;
    has_second_ = true;
    return factor * y;
  }

 private:
  std::mt19937 random_;
  double second_ = 0;
  bool has_second_ = false;
};

}  // namespace

std::vector<int32_t> MixLengths(int32_t count, const LengthMix& mix) {
  Gaussian gaussian(mix.seed);
  std::vector<int32_t> lengths(static_cast<size_t>(count));
  for (int32_t& length : lengths) {
    const double drawn = std::exp(std::log(mix.median) + mix.sigma * gaussian.Next());
    const double clipped = std::clamp(std::nearbyint(drawn), static_cast<double>(mix.length_min),
                                      static_cast<double>(mix.length_max));
    length = static_cast<int32_t>(clipped);
  }
  return lengths;
}

std::vector<int32_t> RandomIds(int32_t length, const IdRange& range, std::mt19937& random) {
  const uint32_t size = static_cast<uint32_t>(range.id_end - range.id_min);
  std::vector<int32_t> ids(static_cast<size_t>(length));
  for (int32_t& id : ids) {
    id = range.id_min + static_cast<int32_t>(static_cast<uint32_t>(random()) % size);
  }
  ids.front() = range.first;
  ids.back() = range.last;
  return ids;
}

double ArrivalSchedule::NextSeconds() {
  if (arrival_ == Arrival::kFixed) return static_cast<double>(index_++) / rate_;
  seconds_ += -std::log1p(-UniformDouble(random_)) / rate_;
  return seconds_;
}

}  // namespace attnd::client
