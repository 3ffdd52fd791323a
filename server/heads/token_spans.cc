#include "server/heads/token_spans.h"

#include <algorithm>
#include <string_view>

#include "core/base/check.h"
#include "server/heads/scores.h"

namespace attnd {
namespace {

// A token or a word, with one label.
struct Labelled {
  int32_t first_token = 0, end_token = 0;
  size_t label = 0;
  double score = 0;
};

// The first of the largest.
size_t Best(const std::vector<double>& scores) {
  return std::max_element(scores.begin(), scores.end()) - scores.begin();
}

class Labeller {
 public:
  Labeller(std::span<const float> logits, const Tokenized& tokens, size_t labels)
      : logits_(logits), tokens_(tokens), labels_(labels) {}

  // [first, end) labelled as one.
  Labelled Label(int32_t first, int32_t end, v1::SpanAggregation aggregation) const {
    std::vector<double> scores = ScoresOf(first);
    for (int32_t token = first + 1; token < end; ++token) {
      const std::vector<double> others = ScoresOf(token);
      if (aggregation == v1::SPAN_AGGREGATION_AVERAGE) {
        for (size_t label = 0; label < labels_; ++label) scores[label] += others[label];
      } else if (aggregation == v1::SPAN_AGGREGATION_MAX &&
                 others[Best(others)] > scores[Best(scores)]) {
        scores = others;
      }
    }
    if (aggregation == v1::SPAN_AGGREGATION_AVERAGE) {
      for (double& score : scores) score /= end - first;
    }
    const size_t best = Best(scores);
    return {.first_token = first, .end_token = end, .label = best, .score = scores[best]};
  }

  bool IsSpecial(int32_t token) const { return tokens_.special[token] != 0; }
  int32_t text(int32_t token) const { return tokens_.text_indices[token]; }
  bool IsSameWord(int32_t token, int32_t next) const {
    if (tokens_.word_ids.empty() || IsSpecial(next) || text(token) != text(next)) return false;
    const int32_t word = tokens_.word_ids[token];
    return word >= 0 && word == tokens_.word_ids[next];
  }

 private:
  std::vector<double> ScoresOf(int32_t token) const {
    return Softmax(logits_.subspan(token * labels_, labels_));
  }

  std::span<const float> logits_;
  const Tokenized& tokens_;
  const size_t labels_;
};

// "B-PER": begins a span of "PER". A label without either prefix continues.
struct Tag {
  explicit Tag(std::string_view label) : begins(label.starts_with("B-")), kind(label) {
    if (begins || label.starts_with("I-")) kind.remove_prefix(2);
  }
  bool begins;
  std::string_view kind;
};

}  // namespace

std::vector<LabelledSpan> FindSpans(std::span<const float> logits, const Tokenized& tokens,
                                    const std::vector<std::string>& labels,
                                    v1::SpanAggregation aggregation) {
  const auto count = static_cast<int32_t>(tokens.ids.size());
  CHECK_THAT(logits.size() == tokens.ids.size() * labels.size());
  const Labeller labeller(logits, tokens, labels.size());
  const bool by_word = aggregation == v1::SPAN_AGGREGATION_FIRST ||
                       aggregation == v1::SPAN_AGGREGATION_AVERAGE ||
                       aggregation == v1::SPAN_AGGREGATION_MAX;
  std::vector<LabelledSpan> spans;
  int32_t parts = 0;  // Tokens or words of the last span.
  for (int32_t first = 0, end = 0; first < count; first = end) {
    end = first + 1;
    if (labeller.IsSpecial(first)) continue;
    while (by_word && end < count && labeller.IsSameWord(end - 1, end)) ++end;
    const Labelled part = labeller.Label(first, end, aggregation);
    const std::string& label = labels[part.label];
    if (aggregation == v1::SPAN_AGGREGATION_NONE) {
      spans.push_back({label, part.score, first, end});
      continue;
    }
    const Tag tag(label);
    if (!spans.empty() && !tag.begins && tag.kind == spans.back().label &&
        labeller.text(spans.back().first_token) == labeller.text(first)) {
      spans.back().score += (part.score - spans.back().score) / ++parts;  // The mean so far.
      spans.back().end_token = end;
    } else {
      spans.push_back({std::string(tag.kind), part.score, first, end});
      parts = 1;
    }
  }
  return spans;
}

}  // namespace attnd
