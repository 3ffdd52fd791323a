#pragma once

#include <span>
#include <string>

namespace attnd::client {

enum class ScoreStyle { kPercent, kNumber };

// kPercent if all are between 0 and 1, as probabilities are. Logits are shown as they are.
ScoreStyle StyleOf(std::span<const float> scores);

// "99.98 %" or "-3.1415".
std::string FormatScore(float score, ScoreStyle style);

// A bar of at most 20 columns for a score between 0 and 1, in eighths of a column; empty for
// kNumber.
std::string ScoreBar(float score, ScoreStyle style);

}  // namespace attnd::client
