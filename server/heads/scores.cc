#include "server/heads/scores.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "server/validate/error.h"

namespace attnd {

std::vector<double> Softmax(std::span<const float> logits) {
  if (logits.empty()) return {};
  const double most = *std::max_element(logits.begin(), logits.end());
  std::vector<double> scores(logits.size());
  double sum = 0;
  for (size_t i = 0; i < logits.size(); ++i) sum += scores[i] = std::exp(logits[i] - most);
  for (double& score : scores) score /= sum;
  return scores;
}

std::vector<double> Scores(ScoreFunction function, std::span<const float> logits) {
  switch (function) {
    case ScoreFunction::kSoftmax:
      return Softmax(logits);
    case ScoreFunction::kSigmoid: {
      std::vector<double> scores;
      for (const double logit : logits) scores.push_back(1 / (1 + std::exp(-logit)));
      return scores;
    }
    case ScoreFunction::kNone:
      break;
  }
  return {logits.begin(), logits.end()};
}

std::vector<int32_t> Largest(std::span<const float> values, int32_t count) {
  const auto rank = [&](int32_t place) {
    const float value = values[place];
    return std::isnan(value) ? -std::numeric_limits<float>::infinity() : value;
  };
  std::vector<int32_t> places(values.size());
  std::iota(places.begin(), places.end(), 0);
  const auto kept = std::min<size_t>(std::max(count, 0), places.size());
  std::partial_sort(
      places.begin(), places.begin() + static_cast<int64_t>(kept), places.end(),
      [&](int32_t a, int32_t b) { return rank(a) > rank(b) || (rank(a) == rank(b) && a < b); });
  places.resize(kept);
  return places;
}

absl::StatusOr<ScoreFunction> ReadScoreFunction(v1::ScoreFunction function, const ModelInfo& info) {
  switch (function) {
    case v1::SCORE_FUNCTION_UNSPECIFIED:
      return info.score_function;
    case v1::SCORE_FUNCTION_SOFTMAX:
      return ScoreFunction::kSoftmax;
    case v1::SCORE_FUNCTION_SIGMOID:
      return ScoreFunction::kSigmoid;
    case v1::SCORE_FUNCTION_NONE:
      return ScoreFunction::kNone;
    default:
      return UnknownChoice("score_function", function);
  }
}

}  // namespace attnd
