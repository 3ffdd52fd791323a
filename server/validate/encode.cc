#include "server/validate/encode.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "server/validate/encode_options.h"
#include "server/validate/error.h"
#include "server/validate/input.h"
#include "server/validate/tensor.h"

namespace attnd {
namespace {

// Upper bound of one token in `Tokens`: four int32 of 5 bytes, an index that may be -1 (10 bytes),
// a bool, and the tag and length of its string.
constexpr int64_t kTokenBytes = 4 * 5 + 10 + 1 + 6;

// What a task's outputs will take once they are allocated, in bytes.
int64_t RowsBytes(const EncodeTask& task, int64_t rows, const ModelInfo& info) {
  return task.return_rows ? rows * info.hidden * static_cast<int64_t>(sizeof(float)) : 0;
}
int64_t PooledBytes(const EncodeTask& task, const ModelInfo& info) {
  return task.pooling ? info.hidden * static_cast<int64_t>(sizeof(float)) : 0;
}

// What waiting in the queue keeps alive.
uint64_t TaskBytes(const EncodeTask& task, int64_t rows, const ModelInfo& info) {
  return (task.ids.size() + task.types.size()) * sizeof(int32_t) +
         task.embeddings.size() * sizeof(float) +
         static_cast<uint64_t>(RowsBytes(task, rows, info) + PooledBytes(task, info));
}

// The reply's size is known before any work is done for it: refuse what could not be sent. Called
// after each input, with the last one's task in `plan`; `all` is the reply's size up to it.
absl::Status CheckReplySize(const EncodePlan& plan, const ServedModel& model, const Limits& limits,
                            ReplyForm form, int64_t& all) {
  const size_t i = plan.jobs.size() - 1;
  const auto& task = std::get<EncodeTask>(plan.jobs[i]->task);
  const int64_t fixed = kEncodingBytes + PooledBytes(task, model.info) +
                        (plan.return_tokens ? TokensBytes(plan.tokens[i]) : 0);
  all += fixed + RowsBytes(task, plan.token_counts[i], model.info);
  const int64_t row = int64_t{model.info.hidden} * static_cast<int64_t>(sizeof(float));
  if (form == ReplyForm::kParts && kResponseBytes + fixed + row > limits.message_bytes) {
    return Refuse(v1::ERROR_REASON_REPLY_TOO_LARGE, StrCat("inputs[", i, "]"),
                  StrCat("its tokens and pooled vector alone would take ", fixed,
                         " bytes; the limit is ", limits.message_bytes, " (message-bytes)"));
  }
  if (form == ReplyForm::kOneMessage && all > limits.message_bytes) {
    return Refuse(
        v1::ERROR_REASON_REPLY_TOO_LARGE, "inputs",
        StrCat("the reply to the first ", i + 1, " could take ", all, " bytes; the limit is ",
               limits.message_bytes, " (message-bytes). EncodeStream sends it in parts."));
  }
  return absl::OkStatus();
}

// A request that the empty queue could not take would be refused as "full" for ever.
absl::Status CheckFitsQueue(const EncodePlan& plan, const Limits& limits) {
  int64_t tokens = 0, bytes = 0;
  for (const auto& job : plan.jobs) {
    tokens += job->rows;
    bytes += static_cast<int64_t>(job->bytes);
  }
  const auto check = [](int64_t value, int64_t limit, std::string_view what,
                        std::string_view knob) {
    if (value <= limit) return absl::OkStatus();
    return Refuse(
        v1::ERROR_REASON_OVER_LIMIT, "inputs",
        StrCat(value, " ", what, " are more than the queue ever takes, ", limit, " (", knob, ")"));
  };
  RETURN_IF_ERROR(check(static_cast<int64_t>(plan.jobs.size()), limits.queue_requests, "inputs",
                        "queue-requests"));
  RETURN_IF_ERROR(check(tokens, limits.queue_tokens, "tokens", "queue-tokens"));
  return check(bytes, limits.queue_bytes, "bytes", "queue-bytes");
}

// All texts together: they are tokenized on gRPC's threads, which other calls wait for.
absl::Status CheckTextBytes(const v1::EncodeRequest& request, const Limits& limits) {
  size_t bytes = 0;
  for (const v1::Input& input : request.inputs()) {
    bytes +=
        input.text().size() + input.text_pair().first().size() + input.text_pair().second().size();
  }
  if (static_cast<int64_t>(bytes) <= limits.request_text_bytes) return absl::OkStatus();
  return Refuse(v1::ERROR_REASON_OVER_LIMIT, "inputs",
                StrCat(bytes, " bytes of text are more than the limit of ",
                       limits.request_text_bytes, " (request-text-bytes)"));
}

void Append(CheckedInput input, const EncodeChoices& choices, const ServedModel& model,
            EncodePlan& plan) {
  input.task.return_rows = choices.return_token_vectors;
  input.task.pooling = choices.pooling;
  input.task.normalize = choices.normalize;
  auto job = std::make_unique<Job>();
  job->rows = input.rows;
  job->bytes = TaskBytes(input.task, input.rows, model.info);
  job->task = std::move(input.task);
  plan.jobs.push_back(std::move(job));
  plan.tokens.push_back(choices.return_tokens ? std::move(input.tokens) : Tokenized{});
  plan.token_counts.push_back(input.rows);
  plan.truncated.push_back(input.truncated);
}

}  // namespace

int64_t TokensBytes(const Tokenized& tokens) {
  int64_t bytes = kEncodingBytes + static_cast<int64_t>(tokens.ids.size()) * kTokenBytes;
  for (const std::string& text : tokens.strings) bytes += static_cast<int64_t>(text.size());
  return bytes;
}

absl::Status CheckModelName(std::string_view name, const ServedModel& model) {
  if (name.empty() || name == model.name) return absl::OkStatus();
  return Refuse(v1::ERROR_REASON_UNKNOWN_MODEL, "model",
                StrCat("no model ", Quote(name), " is served; there is ", Quote(model.name)));
}

absl::StatusOr<EncodePlan> PlanEncode(const v1::EncodeRequest& request, const ServedModel& model,
                                      const Limits& limits, ReplyForm form) {
  RETURN_IF_ERROR(CheckModelName(request.model(), model));
  if (request.inputs().empty()) {
    return Refuse(v1::ERROR_REASON_MISSING_FIELD, "inputs", "at least one input is needed");
  }
  if (request.inputs_size() > limits.inputs_per_request) {
    return Refuse(v1::ERROR_REASON_OVER_LIMIT, "inputs",
                  StrCat(request.inputs_size(), " inputs are more than the limit of ",
                         limits.inputs_per_request, " (inputs-per-request)"));
  }
  RETURN_IF_ERROR(CheckTextBytes(request, limits));
  ASSIGN_OR_RETURN(const EncodeChoices choices, ReadOptions(request.options(), model));
  const InputChoices input_choices{.tokenize = choices.tokenize,
                                   .describe_ids = choices.return_tokens};
  EncodePlan plan;
  plan.return_tokens = choices.return_tokens;
  int64_t reply_bytes = kResponseBytes;
  for (int i = 0; i < request.inputs_size(); ++i) {
    const auto begin = Clock::now();
    ASSIGN_OR_RETURN(CheckedInput input, ReadInput(request.inputs(i), input_choices, model, limits,
                                                   StrCat("inputs[", i, "]")));
    Append(std::move(input), choices, model, plan);
    plan.tokenize_seconds.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
    RETURN_IF_ERROR(CheckReplySize(plan, model, limits, form, reply_bytes));
  }
  RETURN_IF_ERROR(CheckFitsQueue(plan, limits));
  return plan;
}

}  // namespace attnd
