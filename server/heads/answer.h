#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "attnd/v1/answer.pb.h"
#include "server/heads/plan.h"
#include "server/represent/windows.h"

namespace attnd {

// A question and its context on their way: the context's tokens are read in windows, each with all
// that stands before and after them in the pair.
struct PlannedQuestion {
  std::string context;
  std::vector<Tokenized::Offset> offsets;  // Of the context's tokens, in its bytes.
  int32_t rows_before = 0;                 // Rows of a window before the context's.
  std::vector<TokenWindow> windows;        // Of the pair's tokens.
  size_t first_job = 0;                    // A job for each window.
};

// AnswerService.Answer. The plan's inputs are the questions, its jobs their windows.
struct AnswerPlan : HeadPlan {
  int32_t top_k = 0;
  int32_t max_answer_tokens = 0;
  bool allow_no_answer = false;
  OffsetUnit offset_unit = OffsetUnit::kCodePoint;
  std::vector<PlannedQuestion> questions;
};

absl::StatusOr<AnswerPlan> PlanAnswer(const v1::AnswerRequest& request, const ServedModel& model,
                                      const Limits& limits);
v1::AnswerResponse AnswerReply(const AnswerPlan& plan, DoneJobs jobs, const ServedModel& model);

}  // namespace attnd
