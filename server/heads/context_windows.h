#pragma once

#include <cstdint>
#include <vector>

namespace attnd {

// A run of a text's tokens, [first, end), that the model reads at once.
struct ContextWindow {
  int32_t first = 0, end = 0;
};

// How `tokens` are read by windows of at most `room` of them, each but the first beginning with the
// last `stride` of the one before; 0 <= stride < room. The last one may be shorter.
struct ContextCut {
  int32_t tokens = 0;
  int32_t room = 0;
  int32_t stride = 0;
};

// Without making them: there may be as many as tokens.
int64_t CountWindows(const ContextCut& cut);
std::vector<ContextWindow> CutWindows(const ContextCut& cut);

}  // namespace attnd
