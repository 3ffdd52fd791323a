#include "server/heads/fill_mask.h"

#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <variant>

#include "core/base/strings.h"
#include "server/heads/abilities.h"
#include "server/heads/scores.h"
#include "server/validate/encode.h"
#include "server/validate/error.h"
#include "server/validate/request.h"

namespace attnd {
namespace {

constexpr int32_t kDefaultCandidates = 5;

// Upper bounds of what a FilledMask takes on the wire besides its candidates, and a TokenCandidate
// besides its strings: numbers, tags and lengths.
constexpr int64_t kMaskBytes = 32;
constexpr int64_t kCandidateBytes = 24;

// With the longest candidates for each mask.
absl::Status CheckFillMaskReply(const FillMaskPlan& plan, const ServedModel& model,
                                const Limits& limits) {
  const int64_t candidates = std::min(plan.top_k, model.info.vocabulary) * kCandidateBytes +
                             model.vocabulary_bytes.candidates.Sum(plan.top_k);
  int64_t bytes = kHeadReplyBytes;
  for (const auto& job : plan.jobs) {
    const auto masks = static_cast<int64_t>(std::get<EncodeTask>(job->task).logit_rows.size());
    bytes += kInputReplyBytes + masks * (kMaskBytes + candidates);
  }
  return CheckReplyBytes(bytes, limits, "inputs",
                         "Ask for fewer candidates (top_k), or send fewer inputs.");
}

void WriteCandidates(std::span<const float> logits, const FillMaskPlan& plan,
                     const ServedModel& model, v1::FilledMask& mask) {
  const std::vector<double> scores = Softmax(logits);
  for (const int32_t id : Largest(logits, plan.top_k)) {
    v1::TokenCandidate& candidate = *mask.add_candidates();
    candidate.set_id(id);
    candidate.set_score(static_cast<float>(scores[id]));
    if (plan.return_logits) candidate.set_logit(logits[id]);
    // A vocabulary may be padded with ids that the tokenizer does not have.
    if (model.token_of) candidate.set_token(model.token_of(id).value_or(""));
    if (model.decode) candidate.set_text(model.decode(std::span(&id, 1), false).value_or(""));
  }
}

}  // namespace

absl::StatusOr<FillMaskPlan> PlanFillMask(const v1::FillMaskRequest& request,
                                          const ServedModel& model, const Limits& limits) {
  RETURN_IF_ERROR(CheckCan(Ability::kFillMask, model));
  const v1::FillMaskOptions& options = request.options();
  FillMaskPlan plan;
  ASSIGN_OR_RETURN(plan.top_k, ReadCount("top_k", IfSet(options.has_top_k(), options.top_k()),
                                         std::min(kDefaultCandidates, limits.candidates_per_mask)));
  RETURN_IF_ERROR(CheckCount(
      plan.top_k,
      {.most = limits.candidates_per_mask, .what = "candidates", .knob = "candidates-per-mask"},
      "options.top_k"));
  plan.return_logits = options.return_logits();
  InputChoices choices{.describe_ids = true};
  ASSIGN_OR_RETURN(choices.tokenize, ReadTokenizeOptions(options, model.info));
  ASSIGN_OR_RETURN(choices.tokenize.offset_unit, ReadOffsetUnit(options.offset_unit()));
  choices.tokenize.return_strings = true;
  const auto find_masks = [&](EncodeTask& task, const std::string& field) -> absl::Status {
    for (size_t row = 0; row < task.ids.size(); ++row) {
      if (task.ids[row] == model.mask_id) task.logit_rows.push_back(static_cast<int32_t>(row));
    }
    if (!task.logit_rows.empty()) return absl::OkStatus();
    const std::string token = model.token_of ? model.token_of(*model.mask_id).value_or("") : "";
    return Refuse(v1::ERROR_REASON_INVALID_VALUE, field,
                  StrCat("none of its ", task.ids.size(), " tokens is the mask, ", Quote(token),
                         " with id ", *model.mask_id));
  };
  ASSIGN_OR_RETURN(static_cast<HeadPlan&>(plan),
                   PlanHeadInputs(request.inputs(), InputKinds::kWithTokens, choices, model, limits,
                                  find_masks));
  RETURN_IF_ERROR(CheckFillMaskReply(plan, model, limits));
  return plan;
}

v1::FillMaskResponse FillMaskReply(const FillMaskPlan& plan, DoneJobs jobs,
                                   const ServedModel& model) {
  v1::FillMaskResponse response;
  WriteModel(model, *response.mutable_model());
  const int32_t vocabulary = model.info.vocabulary;
  for (size_t i = 0; i < jobs.size(); ++i) {
    v1::FilledInput& input = *response.add_inputs();
    input.set_input_index(static_cast<int32_t>(i));
    WriteInput(plan.inputs[i], *jobs[i], input);
    const auto& task = std::get<EncodeTask>(jobs[i]->task);
    for (size_t m = 0; m < task.logit_rows.size(); ++m) {
      v1::FilledMask& mask = *input.add_masks();
      const int32_t row = task.logit_rows[m];
      const Tokenized::Offset& place = plan.inputs[i].tokens.offsets[row];
      mask.set_token_index(row);
      mask.set_start(place.start);
      mask.set_end(place.end);
      WriteCandidates(std::span(task.logits_out).subspan(m * vocabulary, vocabulary), plan, model,
                      mask);
    }
  }
  return response;
}

}  // namespace attnd
