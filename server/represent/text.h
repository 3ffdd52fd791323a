#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/input/tokenizer.h"

namespace attnd {

// A part of a text: [start, end) in the unit that was asked for. `text_index` is 1 for the second
// text of a pair.
struct TextRange {
  int32_t start = 0;
  int32_t end = 0;
  int32_t text_index = 0;
  bool operator==(const TextRange&) const = default;
};

// Steps through UTF-8 by code points, counting in a unit. Reads no byte beyond the text, whatever
// is in it.
class TextCursor {
 public:
  TextCursor(std::string_view text, OffsetUnit unit) : text_(text), unit_(unit) {}

  bool AtEnd() const { return at_ == text_.size(); }
  int32_t offset() const { return offset_; }
  // The code point here, and one further; not at the end.
  char32_t Peek() const;
  void Advance();

 private:
  // Bytes of the code point here.
  size_t Width() const;

  std::string_view text_;
  OffsetUnit unit_;
  size_t at_ = 0;
  int32_t offset_ = 0;
};

int32_t TextLength(std::string_view text, OffsetUnit unit);

// The sentences of a text, without blanks around them. A sentence ends
// - at . ! ? or an ellipsis, and closing quotes and brackets behind it, before a blank;
// - at their CJK forms, and closing quotes and brackets behind them, whatever follows;
// - at a blank line, and at the end of the text.
std::vector<TextRange> SplitSentences(std::string_view text, OffsetUnit unit, int32_t text_index);

// Tokens, with offsets, of a prompt and a text that stands behind it. `prompt_length` is in the
// offsets' unit.
//
// The number of the text's first word among those of both; 0 for no tokens of the text. `tokens`
// are all of them: truncation may drop that word.
int32_t FirstWordBehindPrompt(int32_t prompt_length, const Tokenized& tokens);
// Moves offsets and word numbers to those of the text alone. A token of the prompt gets offsets
// [0, 0), text index -1 and word -1; one that begins in the prompt and ends in the text begins at
// 0.
void RemovePrompt(int32_t prompt_length, int32_t first_word, Tokenized& tokens);

}  // namespace attnd
