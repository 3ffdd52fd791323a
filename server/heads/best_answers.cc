#include "server/heads/best_answers.h"

#include <algorithm>
#include <cstddef>

#include "core/base/check.h"
#include "server/heads/scores.h"

namespace attnd {

SpanScores ScoreSpans(std::span<const float> logits, int32_t first, int32_t end,
                      NoAnswer no_answer) {
  CHECK_THAT(first >= 0 && first <= end && static_cast<size_t>(end) * 2 <= logits.size());
  const bool with_first = no_answer == NoAnswer::kAllowed && first > 0;
  SpanScores scores;
  const auto softmax = [&](size_t column) {
    std::vector<float> column_logits;
    if (with_first) column_logits.push_back(logits[column]);
    for (int32_t row = first; row < end; ++row) {
      column_logits.push_back(logits[size_t{2} * row + column]);
    }
    return Softmax(column_logits);
  };
  scores.starts = softmax(0);
  scores.ends = softmax(1);
  if (no_answer == NoAnswer::kAllowed) scores.no_answer = scores.starts[0] * scores.ends[0];
  if (with_first) {
    scores.starts.erase(scores.starts.begin());
    scores.ends.erase(scores.ends.begin());
  }
  return scores;
}

void BestAnswers::AddWindow(const SpanScores& scores, std::span<const Tokenized::Offset> offsets,
                            int32_t tokens_max) {
  const size_t tokens = offsets.size();
  CHECK_THAT(scores.starts.size() == tokens && scores.ends.size() == tokens);
  for (size_t first = 0; first < tokens; ++first) {
    const size_t end = std::min(tokens, first + static_cast<size_t>(tokens_max));
    for (size_t last = first; last < end; ++last) {
      const Tokenized::Offset place{.start = offsets[first].start, .end = offsets[last].end};
      if (place.start < place.end) Add(place, scores.starts[first] * scores.ends[last]);
    }
  }
}

void BestAnswers::Add(Tokenized::Offset place, double score) {
  if (ranks_.size() == count_) {
    // Nearly all stop here.
    const auto& [rank, start, end] = *ranks_.rbegin();
    if (!(std::tuple(-score, place.start, place.end) < std::tuple(rank, start, end))) return;
  }
  const auto [known, is_new] = scores_.try_emplace({place.start, place.end}, score);
  if (!is_new) {
    if (known->second >= score) return;
    ranks_.erase({-known->second, place.start, place.end});
    known->second = score;
  }
  ranks_.insert({-score, place.start, place.end});
  if (ranks_.size() <= count_) return;
  const auto [rank, start, end] = *ranks_.rbegin();
  ranks_.erase(std::prev(ranks_.end()));
  scores_.erase({start, end});
}

std::vector<ScoredAnswer> BestAnswers::Ranked() const {
  std::vector<ScoredAnswer> answers;
  for (const auto& [rank, start, end] : ranks_) {
    answers.push_back({.place = {.start = start, .end = end}, .score = -rank});
  }
  return answers;
}

}  // namespace attnd
