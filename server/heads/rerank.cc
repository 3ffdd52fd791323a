#include "server/heads/rerank.h"

#include <algorithm>
#include <utility>

#include "core/base/strings.h"
#include "server/heads/abilities.h"
#include "server/heads/scores.h"
#include "server/validate/encode.h"
#include "server/validate/error.h"
#include "server/validate/request.h"

namespace attnd {
namespace {

// Upper bound of what a RankedDocument takes on the wire besides its text.
constexpr int64_t kRankedBytes = 40;

absl::Status CheckDocuments(const v1::RerankRequest& request, const Limits& limits) {
  if (request.query().empty()) {
    return Refuse(v1::ERROR_REASON_MISSING_FIELD, "query", "it is empty");
  }
  if (request.documents().empty()) {
    return Refuse(v1::ERROR_REASON_MISSING_FIELD, "documents", "at least one is needed");
  }
  RETURN_IF_ERROR(CheckCount(
      request.documents_size(),
      {.most = limits.documents_per_request, .what = "documents", .knob = "documents-per-request"},
      "documents"));
  // The query is tokenized with each of them.
  size_t bytes = request.query().size() * request.documents_size();
  for (const std::string& document : request.documents()) bytes += document.size();
  return CheckTextBytes(static_cast<int64_t>(bytes), limits, "documents");
}

absl::Status CheckRerankReply(const RerankPlan& plan, const Limits& limits) {
  int64_t bytes = kHeadReplyBytes + kInputReplyBytes + plan.top_n * kRankedBytes;
  for (const std::string& document : plan.documents) bytes += static_cast<int64_t>(document.size());
  return CheckReplyBytes(bytes, limits, "documents",
                         "Send fewer documents, or leave return_documents out.");
}

}  // namespace

absl::StatusOr<RerankPlan> PlanRerank(const v1::RerankRequest& request, const ServedModel& model,
                                      const Limits& limits) {
  RETURN_IF_ERROR(CheckCan(Ability::kRerank, model));
  RETURN_IF_ERROR(CheckDocuments(request, limits));
  const v1::RerankOptions& options = request.options();
  RerankPlan plan;
  ASSIGN_OR_RETURN(plan.top_n, ReadCount("top_n", IfSet(options.has_top_n(), options.top_n()),
                                         request.documents_size()));
  plan.top_n = std::min(plan.top_n, request.documents_size());
  ASSIGN_OR_RETURN(plan.score_function, ReadScoreFunction(options.score_function(), model.info));
  plan.return_logits = options.return_logits();
  InputChoices choices;
  ASSIGN_OR_RETURN(choices.tokenize, ReadTokenizeOptions(options, model.info));
  choices.tokenize.pair_truncation = PairTruncation::kSecond;
  const Truncation truncation = choices.tokenize.truncation;
  for (int i = 0; i < request.documents_size(); ++i) {
    const auto begin = Clock::now();
    // An empty document leaves the query alone, which is never cut.
    choices.tokenize.truncation = request.documents(i).empty() ? Truncation::kError : truncation;
    ASSIGN_OR_RETURN(CheckedInput input, ReadText(request.query(), request.documents(i), choices,
                                                  model, limits, StrCat("documents[", i, "]")));
    Append(std::move(input), SecondsSince(begin), model.info, plan);
    if (options.return_documents()) plan.documents.push_back(request.documents(i));
  }
  for (const std::string& document : plan.documents) {
    plan.bytes += static_cast<int64_t>(document.size());
  }
  RETURN_IF_ERROR(CheckFitsQueue(
      NeedOf(plan.jobs), limits, "documents",
      "Send fewer or shorter documents, cut them with truncation and a smaller max_length"));
  RETURN_IF_ERROR(CheckRerankReply(plan, limits));
  return plan;
}

v1::RerankResponse RerankReply(const RerankPlan& plan, DoneJobs jobs, const ServedModel& model) {
  v1::RerankResponse response;
  WriteModel(model, *response.mutable_model());
  std::vector<float> logits;
  int32_t token_count = 0;
  double tokenize_seconds = 0;
  const JobTimings* slowest = &jobs[0]->timings;
  for (size_t i = 0; i < jobs.size(); ++i) {
    logits.push_back(LogitsOf(*jobs[i])[0]);
    token_count += plan.inputs[i].rows;
    tokenize_seconds += plan.inputs[i].tokenize_seconds;
    if (jobs[i]->timings.finished > slowest->finished) slowest = &jobs[i]->timings;
  }
  for (const int32_t document : Largest(logits, plan.top_n)) {
    v1::RankedDocument& ranked = *response.add_results();
    ranked.set_index(document);
    ranked.set_score(
        static_cast<float>(Scores(plan.score_function, LogitsOf(*jobs[document])).front()));
    if (plan.return_logits) ranked.set_logit(logits[document]);
    if (!plan.documents.empty()) ranked.set_document(plan.documents[document]);
    ranked.set_truncated(plan.inputs[document].truncated);
  }
  response.set_token_count(token_count);
  WriteTimings(*slowest, tokenize_seconds, *response.mutable_timings());
  return response;
}

}  // namespace attnd
