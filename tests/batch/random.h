#pragma once

#include <cstdint>

namespace attnd {

// SplitMix64 (Steele, Lea, Flood, 2014): the same numbers on every machine and with every library.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // In [min, max].
  int Between(int min, int max) {
    return min + static_cast<int>(Next() % static_cast<uint64_t>(max - min + 1));
  }
  bool OneIn(int n) { return Next() % static_cast<uint64_t>(n) == 0; }

 private:
  uint64_t state_;
};

}  // namespace attnd
