#pragma once

#include <array>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "attnd/v1/classifier.pb.h"
#include "server/heads/plan.h"

namespace attnd {

// ClassifierService.ClassifyTokens. Tokens have their places in bytes, whatever unit the reply
// is in.
struct ClassifyTokensPlan : HeadPlan {
  v1::SpanAggregation aggregation = v1::SPAN_AGGREGATION_SIMPLE;
  std::set<std::string> ignored_labels;
  OffsetUnit offset_unit = OffsetUnit::kCodePoint;
  // One for each input: its text, or its two; empty for token ids.
  std::vector<std::array<std::string, 2>> texts;
};

absl::StatusOr<ClassifyTokensPlan> PlanClassifyTokens(const v1::ClassifyTokensRequest& request,
                                                      const ServedModel& model,
                                                      const Limits& limits);
v1::ClassifyTokensResponse ClassifyTokensReply(const ClassifyTokensPlan& plan, DoneJobs jobs,
                                               const ServedModel& model);

}  // namespace attnd
