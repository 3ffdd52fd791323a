#include "server/validate/encode.h"

#include <chrono>
#include <utility>

#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "server/validate/encode_size.h"
#include "server/validate/error.h"
#include "server/validate/request.h"

namespace attnd {
namespace {

// The reply's size is known before any work is done for it: refuse what could not be sent. Called
// after each input, the last one in `plan`; `all` is the reply's size up to it.
absl::Status CheckReplySize(const EncodePlan& plan, const Limits& limits, ReplyForm form,
                            std::string_view field, std::string_view all_field, int64_t& all) {
  const PlannedInput& input = plan.inputs.back();
  const bool has_rows = plan.choices.return_token_vectors;
  const int64_t row = has_rows ? RowBytes(plan.choices) : 0;
  // The vocabulary is most of such a reply, however short the text.
  const std::string_view sparse =
      plan.choices.return_sparse ? " A smaller options.sparse_top_k needs less." : "";
  all += input.fixed_bytes + row * input.rows_sent();
  if (form == ReplyForm::kParts &&
      kResponseBytes + input.fixed_bytes + row > limits.message_bytes) {
    return Refuse(v1::ERROR_REASON_REPLY_TOO_LARGE, field,
                  StrCat("all but its token vectors, which alone are sent in parts, could take ",
                         input.fixed_bytes, " bytes; the limit is ", limits.message_bytes,
                         " (message-bytes).", sparse));
  }
  if (form == ReplyForm::kOneMessage && all > limits.message_bytes) {
    return Refuse(v1::ERROR_REASON_REPLY_TOO_LARGE, all_field,
                  StrCat("the reply to the first ", plan.inputs.size(), " could take ", all,
                         " bytes; the limit is ", limits.message_bytes,
                         " (message-bytes). EncodeStream sends it in parts.", sparse));
  }
  return absl::OkStatus();
}

// All texts together, with their prompts: they are tokenized on gRPC's threads, which other calls
// wait for.
absl::Status CheckTotalBytes(std::span<const GivenInput> inputs, const EncodeChoices& choices,
                             const Limits& limits, std::string_view field) {
  int64_t bytes = 0;
  for (const GivenInput& given : inputs) {
    bytes += TextBytes(given.input);
    if (given.input.has_text()) bytes += static_cast<int64_t>(choices.prompt.text.size());
  }
  return CheckTextBytes(bytes, limits, field);
}

absl::Status CheckRangesCount(const v1::EncodeRequest& request, const EncodeChoices& choices) {
  const bool wanted = choices.spans && choices.spans->kind == SpanKind::kRanges;
  if (!wanted && request.ranges_size() > 0) {
    return Refuse(v1::ERROR_REASON_INVALID_VALUE, "ranges", "only SPAN_KIND_RANGES has them");
  }
  if (wanted && request.ranges_size() != request.inputs_size()) {
    return Refuse(v1::ERROR_REASON_INVALID_SHAPE, "ranges",
                  StrCat(request.ranges_size(), " are given for ", request.inputs_size(),
                         " inputs; SPAN_KIND_RANGES needs one for each"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<EncodePlan> PlanInputs(std::span<const GivenInput> inputs,
                                      const EncodeChoices& choices, const ServedModel& model,
                                      const Limits& limits, ReplyForm form,
                                      std::string_view field) {
  RETURN_IF_ERROR(CheckTotalBytes(inputs, choices, limits, field));
  EncodePlan plan;
  plan.choices = choices;
  QueueNeed need;
  int64_t reply_bytes = kResponseBytes;
  for (const GivenInput& given : inputs) {
    const auto begin = Clock::now();
    ASSIGN_OR_RETURN(InputPlan input, PlanInput(given, choices, model, limits));
    input.input.tokenize_seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    plan.inputs.push_back(std::move(input.input));
    RETURN_IF_ERROR(CheckReplySize(plan, limits, form, given.field, field, reply_bytes));
    for (auto& job : input.jobs) {
      need.jobs += 1;
      need.tokens += job->rows;
      need.bytes += static_cast<int64_t>(job->bytes);
      plan.jobs.push_back(std::move(job));
    }
    RETURN_IF_ERROR(CheckFitsQueue(need, limits, field));
  }
  return plan;
}

absl::StatusOr<EncodePlan> PlanEncode(const v1::EncodeRequest& request, const ServedModel& model,
                                      const Limits& limits, ReplyForm form) {
  RETURN_IF_ERROR(CheckNumberOfInputs(request.inputs_size(), limits, "inputs"));
  ASSIGN_OR_RETURN(const EncodeChoices choices, ReadOptions(request.options(), model, limits));
  RETURN_IF_ERROR(CheckRangesCount(request, choices));
  std::vector<GivenInput> inputs;
  inputs.reserve(static_cast<size_t>(request.inputs_size()));
  for (int i = 0; i < request.inputs_size(); ++i) {
    const bool has_ranges = i < request.ranges_size();
    inputs.push_back({.input = request.inputs(i),
                      .field = StrCat("inputs[", i, "]"),
                      .ranges = has_ranges ? &request.ranges(i) : nullptr,
                      .ranges_field = has_ranges ? StrCat("ranges[", i, "]") : std::string()});
  }
  return PlanInputs(inputs, choices, model, limits, form, "inputs");
}

}  // namespace attnd
