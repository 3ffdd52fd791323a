#include "server/validate/encode.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "server/validate/encode_options.h"
#include "server/validate/error.h"
#include "server/validate/tensor.h"

namespace attnd {
namespace {

// Upper bound of one token in `Tokens`: four int32 of 5 bytes, an index that may be -1 (10 bytes),
// a bool, and the tag and length of its string.
constexpr int64_t kTokenBytes = 4 * 5 + 10 + 1 + 6;

// One input after its checks.
struct CheckedInput {
  EncodeTask task;
  Tokenized tokens;
  int32_t rows = 0;
  bool truncated = false;
};

// Which of `count` rows remain when at most `options.length_max` may.
struct Kept {
  int32_t begin = 0, end = 0;
};

absl::StatusOr<Kept> Cut(int64_t count, const TokenizeOptions& options, std::string_view field) {
  if (count <= options.length_max) return Kept{0, static_cast<int32_t>(count)};
  switch (options.truncation) {
    case Truncation::kRight:
      return Kept{0, options.length_max};
    case Truncation::kLeft:
      return Kept{static_cast<int32_t>(count - options.length_max), static_cast<int32_t>(count)};
    case Truncation::kError:
      break;
  }
  return Refuse(v1::ERROR_REASON_TOO_LONG, field,
                StrCat(count, " tokens are more than the maximum length ", options.length_max));
}

absl::Status CheckTypes(const std::vector<int32_t>& types, const ModelInfo& info,
                        std::string_view field) {
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i] < 0 || types[i] >= std::max(info.token_types, 1)) {
      return Refuse(v1::ERROR_REASON_ID_OUT_OF_RANGE, StrCat(field, "[", i, "]"),
                    StrCat(types[i], " is not below the model's ", std::max(info.token_types, 1),
                           " token types"));
    }
  }
  return absl::OkStatus();
}

// The tokenizer's message without the blank that it begins with.
absl::Status TokenizeRefusal(const absl::Status& status, std::string_view field) {
  if (!absl::IsInvalidArgument(status)) return status;
  std::string_view message = ToStd(status.message());
  message.remove_prefix(std::min(message.find_first_not_of(' '), message.size()));
  switch (ReasonOf(status)) {
    case TokenizeFailure::kTooLong:
      return Refuse(v1::ERROR_REASON_TOO_LONG, field, message);
    case TokenizeFailure::kNotUtf8:
      return Refuse(v1::ERROR_REASON_INVALID_UTF8, field, message);
    default:
      return Refuse(v1::ERROR_REASON_INVALID_VALUE, field, message);
  }
}

absl::StatusOr<CheckedInput> ReadText(std::string_view text, std::optional<std::string_view> pair,
                                      const EncodeChoices& choices, const ServedModel& model,
                                      const Limits& limits, std::string_view field) {
  if (!model.tokenize) {
    return Refuse(v1::ERROR_REASON_NOT_SUPPORTED_BY_MODEL, field,
                  "the model has no tokenizer.json; send token_ids");
  }
  const auto bytes = static_cast<int64_t>(text.size() + pair.value_or("").size());
  if (bytes > limits.text_bytes) {
    return Refuse(v1::ERROR_REASON_OVER_LIMIT, field,
                  StrCat(bytes, " bytes of text are more than the limit of ", limits.text_bytes,
                         " (text-bytes)"));
  }
  absl::StatusOr<Tokenized> tokens = model.tokenize(text, pair, choices.tokenize);
  if (!tokens.ok()) return TokenizeRefusal(tokens.status(), field);
  if (tokens->ids.empty()) {
    return Refuse(v1::ERROR_REASON_INVALID_VALUE, field,
                  "the text has no tokens, and add_special_tokens is false");
  }
  RETURN_IF_ERROR(CheckTypes(tokens->types, model.info, field));
  CheckedInput input;
  input.task.ids = tokens->ids;
  input.task.types = tokens->types;
  input.rows = static_cast<int32_t>(tokens->ids.size());
  input.truncated = tokens->truncated;
  input.tokens = *std::move(tokens);
  return input;
}

// Token strings, and no offsets: there is no text that they could point into.
Tokenized DescribeIds(const EncodeTask& task, const ServedModel& model) {
  const size_t count = task.ids.size();
  Tokenized tokens;
  tokens.ids = task.ids;
  tokens.types = task.types;
  tokens.types.resize(count);
  tokens.offsets.resize(count);
  tokens.text_indices.assign(count, -1);
  tokens.special.resize(count);
  if (model.token_of) {
    for (const int32_t id : task.ids) tokens.strings.push_back(model.token_of(id).value_or(""));
  }
  return tokens;
}

absl::StatusOr<CheckedInput> ReadIds(const v1::TokenIds& given, const EncodeChoices& choices,
                                     const ServedModel& model, std::string_view field) {
  const std::string ids_field = StrCat(field, ".ids");
  if (given.ids().empty()) {
    return Refuse(v1::ERROR_REASON_MISSING_FIELD, ids_field, "at least one id is needed");
  }
  if (!given.type_ids().empty() && given.type_ids_size() != given.ids_size()) {
    return Refuse(
        v1::ERROR_REASON_INVALID_SHAPE, StrCat(field, ".type_ids"),
        StrCat(given.type_ids_size(), " type ids are given for ", given.ids_size(), " ids"));
  }
  ASSIGN_OR_RETURN(const Kept kept, Cut(given.ids_size(), choices.tokenize, ids_field));
  for (int i = 0; i < given.ids_size(); ++i) {
    if (given.ids(i) < 0 || given.ids(i) >= model.info.vocabulary) {
      return Refuse(v1::ERROR_REASON_ID_OUT_OF_RANGE, StrCat(ids_field, "[", i, "]"),
                    StrCat(given.ids(i), " is not between 0 and ", model.info.vocabulary - 1,
                           ", the last of the vocabulary"));
    }
  }
  CheckedInput input;
  input.task.ids.assign(given.ids().begin() + kept.begin, given.ids().begin() + kept.end);
  if (!given.type_ids().empty()) {
    RETURN_IF_ERROR(CheckTypes({given.type_ids().begin(), given.type_ids().end()}, model.info,
                               StrCat(field, ".type_ids")));
    input.task.types.assign(given.type_ids().begin() + kept.begin,
                            given.type_ids().begin() + kept.end);
  }
  input.rows = kept.end - kept.begin;
  input.truncated = input.rows < given.ids_size();
  if (choices.return_tokens) input.tokens = DescribeIds(input.task, model);
  return input;
}

absl::StatusOr<CheckedInput> ReadEmbeddings(const v1::Tensor& given, const EncodeChoices& choices,
                                            const ServedModel& model, std::string_view field) {
  RETURN_IF_ERROR(CheckTensor(given, v1::DATA_TYPE_FLOAT32, 2, field));
  const int64_t rows = given.shape(0);
  const int64_t hidden = model.info.hidden;
  RETURN_IF_ERROR(CheckShape(given, std::vector<int64_t>{rows, hidden}, field));
  ASSIGN_OR_RETURN(const Kept kept, Cut(rows, choices.tokenize, field));
  ASSIGN_OR_RETURN(std::vector<float> values, ReadFloats(given, NonFinite::kRefused, field));
  CheckedInput input;
  input.rows = kept.end - kept.begin;
  input.truncated = input.rows < rows;
  values.resize(kept.end * hidden);
  values.erase(values.begin(), values.begin() + kept.begin * hidden);
  input.task.embeddings = std::move(values);
  return input;
}

absl::StatusOr<CheckedInput> ReadInput(const v1::Input& input, const EncodeChoices& choices,
                                       const ServedModel& model, const Limits& limits,
                                       const std::string& field) {
  switch (input.kind_case()) {
    case v1::Input::kText:
      return ReadText(input.text(), std::nullopt, choices, model, limits, StrCat(field, ".text"));
    case v1::Input::kTextPair:
      return ReadText(input.text_pair().first(), input.text_pair().second(), choices, model, limits,
                      StrCat(field, ".text_pair"));
    case v1::Input::kTokenIds:
      return ReadIds(input.token_ids(), choices, model, StrCat(field, ".token_ids"));
    case v1::Input::kInputEmbeddings:
      return ReadEmbeddings(input.input_embeddings(), choices, model,
                            StrCat(field, ".input_embeddings"));
    case v1::Input::KIND_NOT_SET:
      break;
  }
  return Refuse(v1::ERROR_REASON_MISSING_FIELD, field,
                "no kind of input is set, or one that this server does not know");
}

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
  EncodePlan plan;
  plan.return_tokens = choices.return_tokens;
  int64_t reply_bytes = kResponseBytes;
  for (int i = 0; i < request.inputs_size(); ++i) {
    const auto begin = Clock::now();
    ASSIGN_OR_RETURN(CheckedInput input, ReadInput(request.inputs(i), choices, model, limits,
                                                   StrCat("inputs[", i, "]")));
    Append(std::move(input), choices, model, plan);
    plan.tokenize_seconds.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
    RETURN_IF_ERROR(CheckReplySize(plan, model, limits, form, reply_bytes));
  }
  RETURN_IF_ERROR(CheckFitsQueue(plan, limits));
  return plan;
}

}  // namespace attnd
