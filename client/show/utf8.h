#pragma once

#include <cstddef>
#include <string>
#include <string_view>

// Text that came from somewhere else, made fit for a terminal or a picture.
namespace attnd::client {

// The code point that begins at byte `at`, which moves past it; U+FFFD and one byte where none
// does. REQUIRES: at < text.size().
char32_t NextCodePoint(std::string_view text, size_t& at);
void AppendUtf8(char32_t code_point, std::string& out);

// What stands in for `code_point` in a line of text: a blank for controls, line ends and the
// characters that reorder text, for those could make a terminal show or do something else.
char32_t Printable(char32_t code_point);

// Columns that a terminal gives `text`: 2 for wide characters (CJK, emoji), 0 for combining ones.
int DisplayWidth(std::string_view text);

// Printable and valid UTF-8 in one line.
std::string OneLine(std::string_view text);

// OneLine, of at most `columns` columns; what is cut ends in "…".
std::string Shorten(std::string_view text, int columns);

}  // namespace attnd::client
