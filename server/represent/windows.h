#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/input/tokenizer.h"
#include "core/model/task.h"

namespace attnd {

// How a text of more tokens than one window holds is cut. What every window has beside its part of
// the text, special tokens and perhaps a question, stands before all of it or behind.
struct WindowCut {
  int32_t tokens = 0;  // Of the whole input.
  int32_t prefix = 0;  // Tokens before the text,
  int32_t suffix = 0;  // and behind it. Every window has them.
  int32_t room = 0;    // Tokens of a window besides them; at least 1.
  int32_t stride = 0;  // From one window's beginning to the next's; 1 .. room.
};

// [begin, end) of the input's tokens; those before and behind the text are not among them.
struct TokenWindow {
  int32_t begin = 0;
  int32_t end = 0;
  bool operator==(const TokenWindow&) const = default;
};

// Where the vector of a token comes from.
struct RowSource {
  int32_t window = 0;
  int32_t row = 0;  // Of that window's rows.
  bool operator==(const RowSource&) const = default;
};

// Number of windows, for which nothing is allocated.
int64_t CountWindows(const WindowCut& cut);
// Of all windows together.
int64_t CountWindowTokens(const WindowCut& cut);
// The last one is the first that reaches the end of the text.
std::vector<TokenWindow> CutWindows(const WindowCut& cut);
// The ids, and types, of one window with what every window has.
EncodeTask WindowTask(const Tokenized& tokens, const WindowCut& cut, const TokenWindow& window);

// For each token: the window in which it stands farthest from an edge, the earlier of equals. The
// special tokens are those of the first window and of the last.
std::vector<RowSource> MergeOrder(const WindowCut& cut, std::span<const TokenWindow> windows);

// What one task for the whole text would hold: rows, hidden layers and projections merged in
// `order`, the largest of each sparse weight, and what else the first window has. `parts` are the
// windows' tasks, done; all ask for the same, but for the pooled vector.
EncodeTask MergeWindows(std::span<const RowSource> order, std::span<const EncodeTask> parts);

}  // namespace attnd
