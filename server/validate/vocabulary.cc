#include "server/validate/vocabulary.h"

#include <algorithm>

namespace attnd {

int64_t StringFieldBytes(size_t size) {
  // A tag, and a varint of 7 bits a byte.
  int64_t header = 2;
  for (size_t rest = size >> 7; rest > 0; rest >>= 7) ++header;
  return header + static_cast<int64_t>(size);
}

int64_t LargestSizes::Sum(int64_t count) const {
  int64_t sum = 0;
  for (const auto& [bytes, strings] : counts_) {
    const int64_t taken = std::min(count, strings);
    sum += taken * bytes;
    count -= taken;
  }
  return sum;
}

}  // namespace attnd
