#pragma once

#include <concepts>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"

namespace attnd::client {

// Appends `text` as a JSON string. Bytes that are not UTF-8 become U+FFFD.
void AppendJson(std::string_view text, std::string& out);

// Appends the shortest decimal that reads back as the same number; null for NaN and Inf, which JSON
// lacks.
void AppendJson(float value, std::string& out);
void AppendJson(double value, std::string& out);

// Appends [a, b, ...].
void AppendJson(std::span<const float> values, std::string& out);

// Appends a number, or true or false.
template <std::integral Value>
void AppendJson(Value value, std::string& out) {
  if constexpr (std::same_as<Value, bool>) {
    out += value ? "true" : "false";
  } else {
    absl::StrAppend(&out, value);
  }
}

// Text that is JSON already.
struct RawJson {
  std::string text;
};
inline void AppendJson(const RawJson& json, std::string& out) { out += json.text; }

// Writes an object in one line, its keys in the order in which they are added.
class JsonObject {
 public:
  // `value`: whatever AppendJson takes. `key` needs no escaping.
  template <typename Value>
  JsonObject& Add(const char* key, const Value& value) {
    absl::StrAppend(&text_, text_.size() > 1 ? "," : "", "\"", key, "\":");
    AppendJson(value, text_);
    return *this;
  }

  RawJson Done() const { return {.text = text_ + "}"}; }

 private:
  std::string text_ = "{";
};

// [to_json(element), ...], where `to_json` returns whatever AppendJson takes.
template <typename Elements, typename ToJson>
RawJson JsonArray(const Elements& elements, const ToJson& to_json) {
  RawJson array{.text = "["};
  for (const auto& element : elements) {
    if (array.text.size() > 1) array.text += ',';
    AppendJson(std::invoke(to_json, element), array.text);
  }
  array.text += ']';
  return array;
}

}  // namespace attnd::client
