#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "core/input/tokenizer.h"

namespace attnd {

// What one window says about its part of the context.
struct SpanScores {
  // P(an answer starts at, ends at) each token of the context in this window.
  std::vector<double> starts, ends;
  double no_answer = 0;  // P(start) * P(end) of the window's first token, where it takes part.
};

// Whether the window's first token stands for "no answer", and takes part in the softmax.
enum class NoAnswer { kExcluded, kAllowed };

// Softmax, in double precision, over the context's tokens alone. `logits` is [rows, 2], start and
// end; the context's tokens are the rows [first, end).
SpanScores ScoreSpans(std::span<const float> logits, int32_t first, int32_t end,
                      NoAnswer no_answer);

struct ScoredAnswer {
  Tokenized::Offset place;  // In bytes of the context; {0, 0}: no answer.
  double score = 0;
};

// The best answers to one question over all windows, no two with the same place: of equals the one
// that starts first, then the shorter. As transformers' QuestionAnsweringPipeline scores them,
// without its stretching of answers to whole words.
class BestAnswers {
 public:
  explicit BestAnswers(int32_t count) : count_(static_cast<size_t>(count)) {}

  // All spans of at most `tokens_max` tokens of a window, whose tokens stand at `offsets`. A span
  // without any text is no answer.
  void AddWindow(const SpanScores& scores, std::span<const Tokenized::Offset> offsets,
                 int32_t tokens_max);
  void Add(Tokenized::Offset place, double score);

  // The best first.
  std::vector<ScoredAnswer> Ranked() const;

 private:
  using Place = std::pair<int32_t, int32_t>;

  const size_t count_;
  // The same answers, by place and by rank: (-score, start, end).
  std::map<Place, double> scores_;
  std::set<std::tuple<double, int32_t, int32_t>> ranks_;
};

}  // namespace attnd
