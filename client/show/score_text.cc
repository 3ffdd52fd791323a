#include "client/show/score_text.h"

#include <cmath>

#include "absl/strings/str_format.h"
#include "client/show/utf8.h"

namespace attnd::client {

ScoreStyle StyleOf(std::span<const float> scores) {
  for (const float score : scores) {
    if (!(score >= 0 && score <= 1)) return ScoreStyle::kNumber;
  }
  return ScoreStyle::kPercent;
}

std::string FormatScore(float score, ScoreStyle style) {
  if (style == ScoreStyle::kNumber) return absl::StrFormat("%.4f", score);
  return absl::StrFormat("%.2f %%", score * 100);
}

std::string ScoreBar(float score, ScoreStyle style) {
  if (style == ScoreStyle::kNumber) return "";
  constexpr char32_t kFull = U'\u2588';  // Each character below is an eighth narrower.
  constexpr int kEighthsMax = 20 * 8;
  const int eighths = static_cast<int>(std::lround(score * kEighthsMax));
  std::string bar;
  for (int i = 0; i < eighths / 8; ++i) AppendUtf8(kFull, bar);
  if (eighths % 8 > 0) AppendUtf8(kFull + 8 - static_cast<char32_t>(eighths % 8), bar);
  return bar;
}

}  // namespace attnd::client
