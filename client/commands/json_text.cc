#include "client/commands/json_text.h"

#include <charconv>
#include <cmath>
#include <iterator>

#include "nlohmann/json.hpp"

namespace attnd::client {
namespace {

template <typename Number>
void AppendNumber(Number value, std::string& out) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  if (value == 0 && std::signbit(value)) {
    out += "-0.0";  // "-0" is an integer to some readers, which then lose the sign.
    return;
  }
  // The longest shortest forms have 15 characters ("-1.17549435e-38") and, of a double, 24.
  char digits[32];
  const std::to_chars_result end = std::to_chars(std::begin(digits), std::end(digits), value);
  out.append(digits, end.ptr);
}

}  // namespace

void AppendJson(std::string_view text, std::string& out) {
  out += nlohmann::json(text).dump(-1, ' ', /*ensure_ascii=*/false,
                                   nlohmann::json::error_handler_t::replace);
}

void AppendJson(float value, std::string& out) { AppendNumber(value, out); }

void AppendJson(double value, std::string& out) { AppendNumber(value, out); }

void AppendJson(std::span<const float> values, std::string& out) {
  out += '[';
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) out += ',';
    AppendJson(values[i], out);
  }
  out += ']';
}

}  // namespace attnd::client
