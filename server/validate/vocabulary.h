#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>

namespace attnd {

// What a string takes as a field of a message whose number is below 16.
int64_t StringFieldBytes(size_t size);

// Sizes, of which a bound of the largest few is wanted.
class LargestSizes {
 public:
  void Add(int64_t bytes) { ++counts_[bytes]; }
  // The `count` largest together; all of them if there are fewer.
  int64_t Sum(int64_t count) const;

 private:
  std::map<int64_t, int64_t, std::greater<>> counts_;  // How many there are of a size.
};

// What the strings of a vocabulary's tokens take in replies, each token's by itself.
struct VocabularySizes {
  LargestSizes tokens;      // As the vocabulary has them.
  LargestSizes candidates;  // That, and the token as text.
};

}  // namespace attnd
