#include "server/heads/tokenize.h"

#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "server/heads/abilities.h"
#include "server/heads/plan.h"
#include "server/represent/outputs.h"
#include "server/validate/encode.h"
#include "server/validate/error.h"
#include "server/validate/input.h"
#include "server/validate/request.h"

namespace attnd {
namespace {

constexpr std::string_view kFewerInputsInReply = "Send fewer or shorter inputs.";

absl::StatusOr<TokenizeOptions> OptionsFrom(const v1::TokenizeOptions& options) {
  TokenizeOptions tokenize;
  tokenize.add_special_tokens = !options.has_add_special_tokens() || options.add_special_tokens();
  ASSIGN_OR_RETURN(tokenize.truncation, ReadTruncation(options.truncation()));
  ASSIGN_OR_RETURN(tokenize.offset_unit, ReadOffsetUnit(options.offset_unit()));
  ASSIGN_OR_RETURN(tokenize.length_max,
                   ReadCount("max_length", IfSet(options.has_max_length(), options.max_length()),
                             std::numeric_limits<int32_t>::max()));
  return tokenize;
}

absl::StatusOr<Tokenized> TokenizeInput(const v1::Input& input, const TokenizeOptions& options,
                                        const ServedModel& model, const Limits& limits,
                                        const std::string& field) {
  switch (input.kind_case()) {
    case v1::Input::kText:
      return TokenizeText(input.text(), std::nullopt, options, model, limits,
                          StrCat(field, ".text"));
    case v1::Input::kTextPair:
      return TokenizeText(input.text_pair().first(), input.text_pair().second(), options, model,
                          limits, StrCat(field, ".text_pair"));
    case v1::Input::KIND_NOT_SET:
      return Refuse(v1::ERROR_REASON_MISSING_FIELD, field,
                    "no kind of input is set, or one that this server does not know");
    default:
      return Refuse(v1::ERROR_REASON_INVALID_VALUE, field,
                    "only a text or two texts can be tokenized");
  }
}

absl::Status CheckIds(const v1::TokenIds& ids, const ModelInfo& info, const std::string& field) {
  if (ids.ids().empty()) {
    return Refuse(v1::ERROR_REASON_MISSING_FIELD, field, "at least one id is needed");
  }
  for (int i = 0; i < ids.ids_size(); ++i) {
    if (ids.ids(i) >= 0 && ids.ids(i) < info.vocabulary) continue;
    return Refuse(v1::ERROR_REASON_ID_OUT_OF_RANGE, StrCat(field, "[", i, "]"),
                  StrCat(ids.ids(i), " is not between 0 and ", info.vocabulary - 1,
                         ", the last of the vocabulary"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Tokenizations> Tokenize(const v1::TokenizeRequest& request, const ServedModel& model,
                                       const Limits& limits) {
  RETURN_IF_ERROR(CheckCan(Ability::kTokenize, model));
  RETURN_IF_ERROR(CheckNumberOfInputs(request.inputs_size(), limits, "inputs"));
  RETURN_IF_ERROR(CheckTextBytes(TextBytes(request.inputs()), limits, "inputs"));
  ASSIGN_OR_RETURN(const TokenizeOptions options, OptionsFrom(request.options()));
  Tokenizations result;
  WriteModel(model, *result.response.mutable_model());
  auto bytes = static_cast<int64_t>(result.response.ByteSizeLong());
  for (int i = 0; i < request.inputs_size(); ++i) {
    const auto begin = Clock::now();
    const std::string field = StrCat("inputs[", i, "]");
    ASSIGN_OR_RETURN(const Tokenized tokens,
                     TokenizeInput(request.inputs(i), options, model, limits, field));
    v1::Tokenization& tokenization = *result.response.add_tokenizations();
    tokenization.set_input_index(i);
    tokenization.set_truncated(tokens.truncated);
    WriteTokens(tokens, *tokenization.mutable_tokens());
    result.tokenize_seconds.push_back(SecondsSince(begin));
    bytes += static_cast<int64_t>(tokenization.ByteSizeLong()) + kInputReplyBytes;
    RETURN_IF_ERROR(CheckReplyBytes(bytes, limits, field, kFewerInputsInReply));
  }
  return result;
}

absl::StatusOr<v1::DetokenizeResponse> Detokenize(const v1::DetokenizeRequest& request,
                                                  const ServedModel& model, const Limits& limits) {
  RETURN_IF_ERROR(CheckCan(Ability::kDetokenize, model));
  RETURN_IF_ERROR(CheckNumberOfInputs(request.inputs_size(), limits, "inputs"));
  int64_t ids = 0;
  for (const v1::TokenIds& input : request.inputs()) ids += input.ids_size();
  RETURN_IF_ERROR(CheckCount(
      ids, {.most = limits.request_text_bytes, .what = "ids", .knob = "request-text-bytes"},
      "inputs"));
  const bool skip = !request.has_skip_special_tokens() || request.skip_special_tokens();
  v1::DetokenizeResponse response;
  WriteModel(model, *response.mutable_model());
  int64_t bytes = kHeadReplyBytes;
  for (int i = 0; i < request.inputs_size(); ++i) {
    const v1::TokenIds& input = request.inputs(i);
    const std::string field = StrCat("inputs[", i, "].ids");
    RETURN_IF_ERROR(CheckIds(input, model.info, field));
    absl::StatusOr<std::string> text =
        model.decode(std::span(input.ids().data(), input.ids_size()), skip);
    // The vocabulary may be padded with ids that the tokenizer does not have.
    if (absl::IsInvalidArgument(text.status())) {
      return Refuse(v1::ERROR_REASON_ID_OUT_OF_RANGE, field, ToStd(text.status().message()));
    }
    RETURN_IF_ERROR(text.status());
    bytes += static_cast<int64_t>(text->size()) + kInputReplyBytes;
    RETURN_IF_ERROR(CheckReplyBytes(bytes, limits, StrCat("inputs[", i, "]"), kFewerInputsInReply));
    response.add_texts(*std::move(text));
  }
  return response;
}

}  // namespace attnd
