#pragma once

#include "absl/status/statusor.h"
#include "attnd/v1/classifier.pb.h"
#include "core/model/arch.h"
#include "server/heads/plan.h"

namespace attnd {

// ClassifierService.Classify.
struct ClassifyPlan : HeadPlan {
  int32_t top_k = 0;
  ScoreFunction score_function = ScoreFunction::kNone;
  bool return_logits = false;
};

absl::StatusOr<ClassifyPlan> PlanClassify(const v1::ClassifyRequest& request,
                                          const ServedModel& model, const Limits& limits);
v1::ClassifyResponse ClassifyReply(const ClassifyPlan& plan, DoneJobs jobs,
                                   const ServedModel& model);

}  // namespace attnd
