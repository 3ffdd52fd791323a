#pragma once

#include <span>
#include <string_view>

namespace attnd {

// 40 texts of the kinds that people send: sentences, questions, queries, reviews, messages of
// programs, code, several languages and scripts, from one word to a paragraph. What an int8 model
// is fitted to, and all that are not f32 measured over, unless their operator has nearer ones.
std::span<const std::string_view> BuiltInCalibrationTexts();

}  // namespace attnd
