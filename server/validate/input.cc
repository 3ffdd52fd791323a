#include "server/validate/input.h"

#include <algorithm>
#include <utility>

#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "server/validate/error.h"
#include "server/validate/tensor.h"

namespace attnd {
namespace {

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
  tokens.word_ids.assign(count, -1);
  if (model.token_of) {
    for (const int32_t id : task.ids) tokens.strings.push_back(model.token_of(id).value_or(""));
  }
  return tokens;
}

absl::StatusOr<CheckedInput> ReadIds(const v1::TokenIds& given, const InputChoices& choices,
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
  if (choices.describe_ids) input.tokens = DescribeIds(input.task, model);
  return input;
}

absl::StatusOr<CheckedInput> ReadEmbeddings(const v1::Tensor& given, const InputChoices& choices,
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

}  // namespace

absl::StatusOr<Tokenized> TokenizeText(std::string_view text, std::optional<std::string_view> pair,
                                       const TokenizeOptions& options, const ServedModel& model,
                                       const Limits& limits, std::string_view field) {
  const auto bytes = static_cast<int64_t>(text.size() + pair.value_or("").size());
  if (bytes > limits.text_bytes) {
    return Refuse(v1::ERROR_REASON_OVER_LIMIT, field,
                  StrCat(bytes, " bytes of text are more than the limit of ", limits.text_bytes,
                         " (text-bytes)"));
  }
  absl::StatusOr<Tokenized> tokens = model.tokenize(text, pair, options);
  if (!tokens.ok()) return TokenizeRefusal(tokens.status(), field);
  // A tokenizer may tell the texts of a pair apart for a model that does not, such as DistilBERT.
  if (model.info.token_types == 0) std::fill(tokens->types.begin(), tokens->types.end(), 0);
  return tokens;
}

absl::StatusOr<CheckedInput> ReadText(std::string_view text, std::optional<std::string_view> pair,
                                      const InputChoices& choices, const ServedModel& model,
                                      const Limits& limits, std::string_view field) {
  if (!model.tokenize) {
    return Refuse(v1::ERROR_REASON_NOT_SUPPORTED_BY_MODEL, field,
                  "the model has no tokenizer.json; send token_ids");
  }
  ASSIGN_OR_RETURN(Tokenized tokens,
                   TokenizeText(text, pair, choices.tokenize, model, limits, field));
  if (tokens.ids.empty()) {
    return Refuse(v1::ERROR_REASON_INVALID_VALUE, field,
                  "the text has no tokens, and add_special_tokens is false");
  }
  RETURN_IF_ERROR(CheckTypes(tokens.types, model.info, field));
  CheckedInput input;
  input.task.ids = tokens.ids;
  input.task.types = tokens.types;
  input.rows = static_cast<int32_t>(tokens.ids.size());
  input.truncated = tokens.truncated;
  input.tokens = std::move(tokens);
  return input;
}

absl::StatusOr<CheckedInput> ReadInput(const v1::Input& input, const InputChoices& choices,
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

}  // namespace attnd
