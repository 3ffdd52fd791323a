#pragma once

#include <span>
#include <string_view>

namespace attnd {

// 40 texts of the kinds that people send: sentences, questions, queries, reviews, messages of
// programs, code, several languages and scripts, from one word to a paragraph. What a model that is
// not f32 is calibrated on unless its operator has nearer ones.
std::span<const std::string_view> BuiltInCalibrationTexts();

}  // namespace attnd
