#include "server/represent/text.h"

#include <algorithm>

namespace attnd {
namespace {

bool IsOneOf(char32_t c, std::u32string_view set) {
  return set.find(c) != std::u32string_view::npos;
}

// Unicode's White_Space.
bool IsBlank(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}
bool IsStop(char32_t c) { return IsOneOf(c, U".!?\u2026"); }
bool IsWideStop(char32_t c) { return IsOneOf(c, U"\u3002\uFF01\uFF1F\uFF61"); }
bool IsCloser(char32_t c) {
  return IsOneOf(c,
                 U"\"')]}\u00BB\u2019\u201D\u203A\u3009\u300B\u300D\u300F\u3011"
                 U"\uFF09\uFF3D\uFF5D\uFF63");
}

// Gives the number of line breaks among the blanks.
int SkipBlanks(TextCursor& cursor) {
  int line_breaks = 0;
  for (; !cursor.AtEnd() && IsBlank(cursor.Peek()); cursor.Advance()) {
    if (cursor.Peek() == U'\n') ++line_breaks;
  }
  return line_breaks;
}

// Moves the cursor from a sentence's first code point to the next one's, or to the end of the text.
// Gives where the sentence ends.
int32_t SkipSentence(TextCursor& cursor) {
  // What stands before the cursor, closers aside.
  enum class Before { kAnything, kStop, kWideStop } before = Before::kAnything;
  int32_t end = cursor.offset();
  while (!cursor.AtEnd()) {
    const char32_t c = cursor.Peek();
    if (IsBlank(c)) {
      const bool blank_line = SkipBlanks(cursor) >= 2;
      if (blank_line || before != Before::kAnything) break;
      continue;
    }
    const bool stop = IsStop(c), wide_stop = IsWideStop(c), closer = IsCloser(c);
    if (before == Before::kWideStop && !stop && !wide_stop && !closer) break;
    if (wide_stop || (stop && before == Before::kWideStop)) {
      before = Before::kWideStop;
    } else if (stop) {
      before = Before::kStop;
    } else if (!closer) {
      before = Before::kAnything;
    }
    cursor.Advance();
    end = cursor.offset();
  }
  return end;
}

}  // namespace

size_t TextCursor::Width() const {
  const auto lead = static_cast<uint8_t>(text_[at_]);
  const size_t width = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
  return std::min(width, text_.size() - at_);
}

char32_t TextCursor::Peek() const {
  const size_t width = Width();
  const auto lead = static_cast<uint8_t>(text_[at_]);
  char32_t code = width == 1 ? lead : lead & (0x7F >> width);
  for (size_t i = 1; i < width; ++i) {
    code = code << 6 | (static_cast<uint8_t>(text_[at_ + i]) & 0x3F);
  }
  return code;
}

void TextCursor::Advance() {
  const size_t width = Width();
  switch (unit_) {
    case OffsetUnit::kByte:
      offset_ += static_cast<int32_t>(width);
      break;
    case OffsetUnit::kUtf16:
      offset_ += width == 4 ? 2 : 1;  // A surrogate pair beyond U+FFFF.
      break;
    case OffsetUnit::kCodePoint:
      offset_ += 1;
      break;
  }
  at_ += width;
}

int32_t TextLength(std::string_view text, OffsetUnit unit) {
  TextCursor cursor(text, unit);
  while (!cursor.AtEnd()) cursor.Advance();
  return cursor.offset();
}

std::vector<TextRange> SplitSentences(std::string_view text, OffsetUnit unit, int32_t text_index) {
  std::vector<TextRange> sentences;
  TextCursor cursor(text, unit);
  SkipBlanks(cursor);
  while (!cursor.AtEnd()) {
    const int32_t start = cursor.offset();
    const int32_t end = SkipSentence(cursor);
    sentences.push_back({.start = start, .end = end, .text_index = text_index});
  }
  return sentences;
}

int32_t FirstWordBehindPrompt(int32_t prompt_length, const Tokenized& tokens) {
  for (size_t i = 0; i < tokens.word_ids.size(); ++i) {
    // Words are numbered in order.
    if (tokens.word_ids[i] >= 0 && tokens.offsets[i].end > prompt_length) {
      return tokens.word_ids[i];
    }
  }
  return 0;
}

void RemovePrompt(int32_t prompt_length, int32_t first_word, Tokenized& tokens) {
  for (size_t i = 0; i < tokens.offsets.size(); ++i) {
    Tokenized::Offset& offset = tokens.offsets[i];
    if (tokens.text_indices[i] < 0) continue;
    int32_t* word = tokens.word_ids.empty() ? nullptr : &tokens.word_ids[i];
    if (offset.end <= prompt_length) {
      offset = {};
      tokens.text_indices[i] = -1;
      if (word != nullptr) *word = -1;
      continue;
    }
    offset = {.start = std::max(offset.start - prompt_length, 0),
              .end = offset.end - prompt_length};
    if (word != nullptr && *word >= 0) *word -= first_word;
  }
}

}  // namespace attnd
