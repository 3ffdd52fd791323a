#pragma once

#include <algorithm>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace attnd {

// Inputs that are several texts, one after another, with this between two of them.
inline constexpr std::string_view kPartSeparator = "\n---\n";

// At least one part; at most `count`, the last of which then has what is left.
inline std::vector<std::string> SplitParts(std::string_view input, size_t count) {
  std::vector<std::string> parts;
  while (parts.size() + 1 < count) {
    const size_t end = input.find(kPartSeparator);
    if (end == std::string_view::npos) break;
    parts.emplace_back(input.substr(0, end));
    input.remove_prefix(end + kPartSeparator.size());
  }
  parts.emplace_back(input);
  return parts;
}

// Mutates one of the at most `count` parts in `data` with `mutate(index, part, size_max)`, and
// returns the new size.
template <typename Mutate>
size_t MutateParts(uint8_t* data, size_t size, size_t size_max, size_t count,
                   std::minstd_rand& random, const Mutate& mutate) {
  std::vector<std::string> parts = SplitParts({reinterpret_cast<const char*>(data), size}, count);
  // Sometimes one more than there are.
  if (parts.size() < count && random() % 8 == 0) parts.emplace_back();
  const size_t index = random() % parts.size();
  parts[index] = mutate(index, parts[index], size_max);
  std::string joined = parts[0];
  for (size_t i = 1; i < parts.size(); ++i) joined.append(kPartSeparator).append(parts[i]);
  joined.resize(std::min(joined.size(), size_max));
  std::memcpy(data, joined.data(), joined.size());
  return joined.size();
}

}  // namespace attnd
