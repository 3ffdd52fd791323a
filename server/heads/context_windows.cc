#include "server/heads/context_windows.h"

#include <algorithm>

#include "core/base/check.h"

namespace attnd {

int64_t CountWindows(const ContextCut& cut) {
  CHECK_THAT(cut.stride >= 0 && cut.stride < cut.room);
  if (cut.tokens <= cut.room) return 1;
  const int64_t step = cut.room - cut.stride;
  return 1 + (cut.tokens - cut.room + step - 1) / step;
}

std::vector<ContextWindow> CutWindows(const ContextCut& cut) {
  std::vector<ContextWindow> windows;
  const int64_t count = CountWindows(cut);
  for (int64_t i = 0; i < count; ++i) {
    const auto first = static_cast<int32_t>(i * (cut.room - cut.stride));
    windows.push_back({.first = first, .end = std::min(first + cut.room, cut.tokens)});
  }
  return windows;
}

}  // namespace attnd
