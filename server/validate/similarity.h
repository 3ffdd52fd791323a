#pragma once

#include "absl/status/statusor.h"
#include "attnd/v1/encoder.pb.h"
#include "server/validate/encode.h"

namespace attnd {

struct SimilarityPlan {
  EncodePlan encode;  // The sources, then the targets.
  size_t sources = 0;
  size_t targets = 0;  // 0: the sources are the targets too.
};

// As PlanEncode. Options that ask for more than pooled vectors, or for their numbers in another
// form, are refused.
absl::StatusOr<SimilarityPlan> PlanSimilarity(const v1::SimilarityRequest& request,
                                              const ServedModel& model, const Limits& limits);

}  // namespace attnd
