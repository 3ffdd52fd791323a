#pragma once

#include <span>
#include <string>
#include <string_view>

namespace attnd::client {

// Appends `text` as a JSON string. Bytes that are not UTF-8 become U+FFFD.
void AppendJson(std::string_view text, std::string& out);

// Appends the shortest decimal that reads back as the same float; null for NaN and Inf, which JSON
// lacks.
void AppendJson(float value, std::string& out);

// Appends [a, b, ...].
void AppendJson(std::span<const float> values, std::string& out);

}  // namespace attnd::client
