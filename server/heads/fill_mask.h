#pragma once

#include "absl/status/statusor.h"
#include "attnd/v1/fill_mask.pb.h"
#include "server/heads/plan.h"

namespace attnd {

// FillMaskService.FillMask. A task's `logit_rows` are the places of its masks.
struct FillMaskPlan : HeadPlan {
  int32_t top_k = 0;
  bool return_logits = false;
};

absl::StatusOr<FillMaskPlan> PlanFillMask(const v1::FillMaskRequest& request,
                                          const ServedModel& model, const Limits& limits);
v1::FillMaskResponse FillMaskReply(const FillMaskPlan& plan, DoneJobs jobs,
                                   const ServedModel& model);

}  // namespace attnd
