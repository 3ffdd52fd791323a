#include "server/heads/classify.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/base/strings.h"
#include "server/heads/abilities.h"
#include "server/heads/scores.h"
#include "server/validate/encode.h"
#include "server/validate/error.h"
#include "server/validate/request.h"

namespace attnd {
namespace {

// Upper bound of what a LabelScore takes on the wire besides its label.
constexpr int64_t kLabelScoreBytes = 32;

absl::Status CheckClassifyReply(const ClassifyPlan& plan, const ModelInfo& info,
                                const Limits& limits) {
  size_t longest = 0;
  for (const std::string& label : info.labels) longest = std::max(longest, label.size());
  const int64_t labels = plan.top_k * (kLabelScoreBytes + static_cast<int64_t>(longest));
  const auto inputs = static_cast<int64_t>(plan.inputs.size());
  return CheckReplyBytes(kHeadReplyBytes + inputs * (kInputReplyBytes + labels), limits, "inputs",
                         "Ask for fewer labels (top_k), or send fewer inputs.");
}

}  // namespace

absl::StatusOr<ClassifyPlan> PlanClassify(const v1::ClassifyRequest& request,
                                          const ServedModel& model, const Limits& limits) {
  RETURN_IF_ERROR(CheckCan(Ability::kClassify, model));
  const v1::ClassifyOptions& options = request.options();
  ClassifyPlan plan;
  const auto labels = static_cast<int32_t>(model.info.labels.size());
  ASSIGN_OR_RETURN(plan.top_k,
                   ReadCount("top_k", IfSet(options.has_top_k(), options.top_k()), labels));
  if (plan.top_k > labels) {
    return Refuse(v1::ERROR_REASON_INVALID_VALUE, "options.top_k",
                  StrCat(plan.top_k, " is more than the model's ", labels, " labels"));
  }
  ASSIGN_OR_RETURN(plan.score_function, ReadScoreFunction(options.score_function(), model.info));
  plan.return_logits = options.return_logits();
  InputChoices choices;
  ASSIGN_OR_RETURN(choices.tokenize, ReadTokenizeOptions(options, model.info));
  ASSIGN_OR_RETURN(
      static_cast<HeadPlan&>(plan),
      PlanHeadInputs(request.inputs(), InputKinds::kAll, choices, model, limits,
                     [](EncodeTask&, const std::string&) { return absl::OkStatus(); }));
  RETURN_IF_ERROR(CheckClassifyReply(plan, model.info, limits));
  return plan;
}

v1::ClassifyResponse ClassifyReply(const ClassifyPlan& plan, DoneJobs jobs,
                                   const ServedModel& model) {
  v1::ClassifyResponse response;
  WriteModel(model, *response.mutable_model());
  for (size_t i = 0; i < jobs.size(); ++i) {
    v1::Classification& classification = *response.add_classifications();
    classification.set_input_index(static_cast<int32_t>(i));
    WriteInput(plan.inputs[i], *jobs[i], classification);
    const std::vector<float>& logits = LogitsOf(*jobs[i]);
    const std::vector<double> scores = Scores(plan.score_function, logits);
    for (const int32_t label : Largest(logits, plan.top_k)) {
      v1::LabelScore& score = *classification.add_labels();
      score.set_label(model.info.labels[label]);
      score.set_label_id(label);
      score.set_score(static_cast<float>(scores[label]));
      if (plan.return_logits) score.set_logit(logits[label]);
    }
  }
  return response;
}

}  // namespace attnd
