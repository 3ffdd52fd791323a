#include "server/calibration.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "core/base/file_descriptor.h"
#include "core/base/printable.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/input/calibration_texts.h"
#include "server/validate/wire.h"

namespace attnd {
namespace {

constexpr char kTextsFlag[] = "--calibration-texts";

absl::Status RefuseTexts(const std::string& path, const std::string& reason) {
  return absl::InvalidArgumentError(StrCat(kTextsFlag, ": ", Printable(path), ": ", reason));
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!file.valid()) return RefuseTexts(path, std::generic_category().message(errno));
  std::string text(kCalibrationBytesMax + 1, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = read(file.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return RefuseTexts(path, std::generic_category().message(errno));
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  if (size > kCalibrationBytesMax) {
    return RefuseTexts(path, StrCat("has more than ", kCalibrationBytesMax, " bytes, the limit"));
  }
  text.resize(size);
  return text;
}

}  // namespace

CalibrationTexts CalibrationTexts::BuiltIn() {
  CalibrationTexts result;
  const auto texts = BuiltInCalibrationTexts();
  result.texts_.assign(texts.begin(), texts.end());
  return result;
}

absl::StatusOr<CalibrationTexts> CalibrationTexts::Read(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  CalibrationTexts result;
  result.file_ = path;
  size_t number = 0;
  for (const absl::string_view line : absl::StrSplit(absl::StripSuffix(content, "\n"), '\n')) {
    ++number;
    if (number > kCalibrationLinesMax) {
      return RefuseTexts(path, StrCat("has more than ", kCalibrationLinesMax, " lines, the limit"));
    }
    const absl::string_view text = absl::StripSuffix(line, "\r");
    if (!IsUtf8(ToStd(text))) return RefuseTexts(path, StrCat("line ", number, " is not UTF-8"));
    if (absl::StripAsciiWhitespace(text).empty()) continue;
    result.texts_.emplace_back(text);
    result.lines_.push_back(number);
  }
  if (result.texts_.size() < kCalibrationTextsMin) {
    return RefuseTexts(path, StrCat("has ", result.texts_.size(), " texts; at least ",
                                    kCalibrationTextsMin, " are wanted, one a line"));
  }
  return result;
}

std::string CalibrationTexts::NameOf(size_t text) const {
  return file_.empty() ? texts_[text] : StrCat("line ", lines_[text]);
}

std::string CalibrationTexts::Describe(size_t text) const {
  if (!file_.empty()) return StrCat(NameOf(text), " of ", Printable(file_));
  return StrCat("built-in calibration text ", text + 1, " (\"", Printable(texts_[text]), "\")");
}

absl::StatusOr<CalibrationInputs> Tokenize(const CalibrationTexts& texts,
                                           const Tokenizer& tokenizer, int32_t length_max) {
  const TokenizeOptions options{.truncation = Truncation::kRight,
                                .length_max = std::min(length_max, kCalibrationTokensMax),
                                .return_strings = false};
  CalibrationInputs inputs;
  for (size_t i = 0; i < texts.texts().size(); ++i) {
    auto tokens = tokenizer.Encode(texts.texts()[i], std::nullopt, options);
    if (!tokens.ok()) {
      return absl::Status(tokens.status().code(),
                          StrCat(texts.Describe(i), tokens.status().message()));
    }
    // Special tokens alone would say the same of every such text.
    if (std::all_of(tokens->special.begin(), tokens->special.end(),
                    [](uint8_t special) { return special == 1; })) {
      continue;
    }
    inputs.ids.push_back(std::move(tokens->ids));
    inputs.texts.push_back(i);
  }
  if (inputs.ids.size() < kCalibrationTextsMin) {
    return absl::InvalidArgumentError(
        StrCat(kTextsFlag, ": the model's tokenizer gives tokens for ", inputs.ids.size(), " of ",
               texts.texts().size(), " texts; at least ", kCalibrationTextsMin, " are wanted"));
  }
  return inputs;
}

absl::Status CheckAccuracy(const Accuracy& accuracy, double cosine_min, const std::string& dtype,
                           const std::string& text) {
  if (accuracy.cosine_min >= cosine_min) return absl::OkStatus();
  // Digits enough to tell 0.98999 from the 0.99 that it does not reach.
  return absl::FailedPreconditionError(absl::StrFormat(
      "--accuracy-min: in %s the vector of %s has a cosine of %.6f to that in f32, below %.6g",
      dtype, text, accuracy.cosine_min, cosine_min));
}

}  // namespace attnd
