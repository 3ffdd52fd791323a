#include "server/heads/text_offsets.h"

namespace attnd {
namespace {

bool IsContinuation(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }
// The first byte of a code point above U+FFFF, which is two units of UTF-16.
bool IsFirstOfFour(char byte) { return static_cast<uint8_t>(byte) >= 0xF0; }

}  // namespace

TextOffsets::TextOffsets(std::string_view text, OffsetUnit unit) : text_(text) {
  if (unit == OffsetUnit::kByte) return;
  units_.reserve(text.size() + 1);
  int32_t units = 0;
  for (const char byte : text) {
    units_.push_back(units);
    if (IsContinuation(byte)) continue;
    units += unit == OffsetUnit::kUtf16 && IsFirstOfFour(byte) ? 2 : 1;
  }
  units_.push_back(units);
}

Tokenized::Offset TextOffsets::Whole(Tokenized::Offset bytes) const {
  const auto inside = [&](int32_t at) {
    return static_cast<size_t>(at) < text_.size() && IsContinuation(text_[at]);
  };
  while (inside(bytes.start)) --bytes.start;
  while (inside(bytes.end)) ++bytes.end;
  return bytes;
}

Tokenized::Offset TextOffsets::InUnit(Tokenized::Offset bytes) const {
  if (units_.empty()) return bytes;
  return {.start = units_[bytes.start], .end = units_[bytes.end]};
}

std::string TextOffsets::Text(Tokenized::Offset bytes) const {
  return std::string(text_.substr(bytes.start, bytes.end - bytes.start));
}

}  // namespace attnd
