#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "attnd/v1/model.pb.h"
#include "core/model/model_info.h"

namespace attnd {

// From logits to scores. All of it is computed in double precision and depends on one sequence's
// logits alone.

// exp(x - max) over its sum. An empty span has an empty softmax.
std::vector<double> Softmax(std::span<const float> logits);

// A score for each logit: itself, 1 / (1 + exp(-x)), or the softmax of all.
std::vector<double> Scores(ScoreFunction function, std::span<const float> logits);

// The places of the `count` largest values, or of all if there are fewer; the largest first, equal
// ones by place, and NaN last. Ranking is by logits: a score rises with its logit, but rounding can
// make two of them equal.
std::vector<int32_t> Largest(std::span<const float> values, int32_t count);

// What a request asks for; unspecified: the model's.
absl::StatusOr<ScoreFunction> ReadScoreFunction(v1::ScoreFunction function, const ModelInfo& info);

}  // namespace attnd
