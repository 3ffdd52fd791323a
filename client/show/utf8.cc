#include "client/show/utf8.h"

#include <cstdint>

namespace attnd::client {
namespace {

constexpr char32_t kReplacement = 0xFFFD;

struct Range {
  char32_t first;
  char32_t last;
};

// Blocks rather than single characters: an error costs an alignment, nothing more.
constexpr Range kWide[] = {{0x1100, 0x115F},   {0x2E80, 0x303E},   {0x3041, 0xA4CF},
                           {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},
                           {0xFF01, 0xFF60},   {0xFFE0, 0xFFE6},   {0x1F300, 0x1F64F},
                           {0x1F680, 0x1F6FF}, {0x1F900, 0x1FAFF}, {0x20000, 0x3FFFD}};
constexpr Range kCombining[] = {{0x0300, 0x036F}, {0x0483, 0x0489},  {0x0591, 0x05BD},
                                {0x064B, 0x065F}, {0x1AB0, 0x1AFF},  {0x1DC0, 0x1DFF},
                                {0x200B, 0x200D}, {0x20D0, 0x20FF},  {0xFE00, 0xFE0F},
                                {0xFE20, 0xFE2F}, {0xE0100, 0xE01EF}};
// C0 and C1 controls, line and paragraph separators, bidirectional controls.
constexpr Range kUnprintable[] = {{0x00, 0x1F},     {0x7F, 0x9F},     {0x200E, 0x200F},
                                  {0x2028, 0x202E}, {0x2066, 0x2069}, {0xFFFE, 0xFFFF}};

template <size_t kCount>
bool IsIn(char32_t code_point, const Range (&ranges)[kCount]) {
  for (const Range& range : ranges) {
    if (code_point >= range.first && code_point <= range.last) return true;
  }
  return false;
}

int WidthOf(char32_t code_point) {
  if (IsIn(code_point, kCombining)) return 0;
  return IsIn(code_point, kWide) ? 2 : 1;
}

}  // namespace

char32_t NextCodePoint(std::string_view text, size_t& at) {
  const auto lead = static_cast<uint8_t>(text[at++]);
  if (lead < 0x80) return lead;
  const int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
  if (lead < 0xC2 || lead > 0xF4 || at + more > text.size()) return kReplacement;
  char32_t code_point = lead & (0x3F >> more);
  for (int i = 0; i < more; ++i) {
    const auto byte = static_cast<uint8_t>(text[at + i]);
    if ((byte & 0xC0) != 0x80) return kReplacement;
    code_point = (code_point << 6) | (byte & 0x3F);
  }
  constexpr char32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
  const bool surrogate = code_point >= 0xD800 && code_point <= 0xDFFF;
  if (code_point < kLeast[more] || code_point > 0x10FFFF || surrogate) return kReplacement;
  at += more;
  return code_point;
}

void AppendUtf8(char32_t code_point, std::string& out) {
  const auto tail = [&](int shift) {
    out += static_cast<char>(0x80 | ((code_point >> shift) & 0x3F));
  };
  if (code_point < 0x80) {
    out += static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    out += static_cast<char>(0xC0 | (code_point >> 6));
    tail(0);
  } else if (code_point < 0x10000) {
    out += static_cast<char>(0xE0 | (code_point >> 12));
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xF0 | (code_point >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

char32_t Printable(char32_t code_point) {
  return IsIn(code_point, kUnprintable) ? U' ' : code_point;
}

int DisplayWidth(std::string_view text) {
  int width = 0;
  for (size_t at = 0; at < text.size();) width += WidthOf(NextCodePoint(text, at));
  return width;
}

std::string OneLine(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) AppendUtf8(Printable(NextCodePoint(text, at)), out);
  return out;
}

std::string Shorten(std::string_view text, int columns) {
  std::string out;
  size_t kept = 0;  // Bytes of `out` that leave room for the ellipsis.
  int width = 0;
  for (size_t at = 0; at < text.size();) {
    const char32_t code_point = Printable(NextCodePoint(text, at));
    width += WidthOf(code_point);
    if (width > columns) {
      out.resize(kept);
      return out + "\u2026";
    }
    AppendUtf8(code_point, out);
    if (width < columns) kept = out.size();
  }
  return out;
}

}  // namespace attnd::client
