#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "attnd/v1/classifier.pb.h"
#include "core/input/tokenizer.h"

namespace attnd {

struct LabelledSpan {
  std::string label;
  double score = 0;
  int32_t first_token = 0, end_token = 0;  // [first, end)
};

// What transformers' TokenClassificationPipeline makes of the labels of tokens. `logits` is
// [tokens, labels]; a token's scores are their softmax. Special tokens are passed over.
//
//   NONE      each token, with its best label, the first of equals
//   SIMPLE    neighbouring tokens whose best labels are of one kind; B- begins anew; the score is
//             the mean of the tokens'
//   FIRST     as SIMPLE over words, each with the label and score of its first token
//   AVERAGE   each with the best mean over its tokens
//   MAX       each with the best of its token that has the best, the first of equals
//
// Words are the tokenizer's (Tokenized::word_ids), where transformers guesses them from lengths and
// blanks; without them each token is one. Nothing joins two texts. Aggregated labels are without
// their B- or I-. `aggregation` is one of the above.
std::vector<LabelledSpan> FindSpans(std::span<const float> logits, const Tokenized& tokens,
                                    const std::vector<std::string>& labels,
                                    v1::SpanAggregation aggregation);

}  // namespace attnd
