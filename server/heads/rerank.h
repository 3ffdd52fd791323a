#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "attnd/v1/rerank.pb.h"
#include "core/model/arch.h"
#include "server/heads/plan.h"

namespace attnd {

// RerankService.Rerank: an input for each document, as a pair with the query.
struct RerankPlan : HeadPlan {
  int32_t top_n = 0;
  ScoreFunction score_function = ScoreFunction::kNone;
  bool return_logits = false;
  std::vector<std::string> documents;  // Empty unless they are to be returned.
};

absl::StatusOr<RerankPlan> PlanRerank(const v1::RerankRequest& request, const ServedModel& model,
                                      const Limits& limits);
v1::RerankResponse RerankReply(const RerankPlan& plan, DoneJobs jobs, const ServedModel& model);

}  // namespace attnd
