#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/input/tokenizer.h"
#include "core/model/model_info.h"

namespace attnd {

inline constexpr size_t kCalibrationBytesMax = 1 << 20;  // Of a file.
inline constexpr size_t kCalibrationLinesMax = 4096;
inline constexpr size_t kCalibrationTextsMin = 3;
// Of one text, special tokens included; what is longer loses its end.
inline constexpr int32_t kCalibrationTokensMax = 256;

// The texts that an int8 model is fitted to, and all that are not f32 are measured over.
class CalibrationTexts {
 public:
  // Those that attnd brings along.
  static CalibrationTexts BuiltIn();

  // Those of a file: one a line, UTF-8; a line of nothing but white space is none, and a carriage
  // return at its end is no part of it. At most kCalibrationBytesMax and kCalibrationLinesMax, at
  // least kCalibrationTextsMin texts. Errors name the file and the reason in one line, and quote
  // nothing of it.
  static absl::StatusOr<CalibrationTexts> Read(const std::string& path);

  const std::vector<std::string>& texts() const { return texts_; }

  // What clients are told of a text: itself if it is built in, else "line 7". What is in an
  // operator's file is nobody else's business.
  std::string NameOf(size_t text) const;
  // In messages: "built-in calibration text 7 (\"...\")", or "line 7 of FILE".
  std::string Describe(size_t text) const;

 private:
  std::vector<std::string> texts_;
  std::string file_;           // Empty: built in.
  std::vector<size_t> lines_;  // Of the texts, from 1. Of a file only.
};

// The texts as a tokenizer gives them.
struct CalibrationInputs {
  std::vector<std::vector<int32_t>> ids;  // Model::Options::calibration.
  std::vector<size_t> texts;              // Which text each is.
};

// With special tokens, of at most `length_max` tokens. A text of which nothing else is left is left
// out; an error if fewer than kCalibrationTextsMin remain, or if `length_max` is too small for the
// special tokens.
absl::StatusOr<CalibrationInputs> Tokenize(const CalibrationTexts& texts,
                                           const Tokenizer& tokenizer, int32_t length_max);

// An error that names the flag, the bound, the cosine and `text`, which describes the worst one,
// if that is further from f32 than `cosine_min` allows.
absl::Status CheckAccuracy(const Accuracy& accuracy, double cosine_min, const std::string& dtype,
                           const std::string& text);

}  // namespace attnd
