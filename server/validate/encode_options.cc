#include "server/validate/encode_options.h"

#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "server/validate/error.h"

namespace attnd {
namespace {

absl::Status UnknownChoice(std::string_view field, int value) {
  return Refuse(v1::ERROR_REASON_INVALID_VALUE, StrCat("options.", field),
                StrCat(value, " is no value that this server knows"));
}

absl::StatusOr<Pooling> ReadPooling(v1::Pooling pooling, const ModelInfo& info) {
  switch (pooling) {
    case v1::POOLING_UNSPECIFIED:
      return info.pooling;
    case v1::POOLING_CLS:
      return Pooling::kCls;
    case v1::POOLING_MEAN:
      return Pooling::kMean;
    case v1::POOLING_MAX:
      return Pooling::kMax;
    case v1::POOLING_LAST:
      return Pooling::kLast;
    case v1::POOLING_POOLER:
      if (info.has_pooler) return Pooling::kPooler;
      return Refuse(v1::ERROR_REASON_NOT_SUPPORTED_BY_MODEL, "options.pooling",
                    "POOLING_POOLER is asked for, but this checkpoint has no pooler");
    default:
      return UnknownChoice("pooling", pooling);
  }
}

absl::StatusOr<Truncation> ReadTruncation(v1::Truncation truncation) {
  switch (truncation) {
    case v1::TRUNCATION_UNSPECIFIED:
    case v1::TRUNCATION_ERROR:
      return Truncation::kError;
    case v1::TRUNCATION_LEFT:
      return Truncation::kLeft;
    case v1::TRUNCATION_RIGHT:
      return Truncation::kRight;
    default:
      return UnknownChoice("truncation", truncation);
  }
}

absl::StatusOr<OffsetUnit> ReadOffsetUnit(v1::OffsetUnit unit) {
  switch (unit) {
    case v1::OFFSET_UNIT_UNSPECIFIED:
    case v1::OFFSET_UNIT_CODE_POINT:
      return OffsetUnit::kCodePoint;
    case v1::OFFSET_UNIT_BYTE:
      return OffsetUnit::kByte;
    case v1::OFFSET_UNIT_UTF16:
      return OffsetUnit::kUtf16;
    default:
      return UnknownChoice("offset_unit", unit);
  }
}

}  // namespace

absl::StatusOr<EncodeChoices> ReadOptions(const v1::EncodeOptions& options,
                                          const ServedModel& model) {
  const ModelInfo& info = model.info;
  EncodeChoices choices;
  ASSIGN_OR_RETURN(const Pooling pooling, ReadPooling(options.pooling(), info));
  if (!options.has_return_pooled() || options.return_pooled()) choices.pooling = pooling;
  choices.normalize = options.has_normalize() ? options.normalize() : info.normalize;
  choices.return_token_vectors = options.return_token_vectors();
  choices.return_tokens =
      options.has_return_tokens() ? options.return_tokens() : choices.return_token_vectors;
  if (!choices.pooling && !choices.return_token_vectors && !choices.return_tokens) {
    return Refuse(v1::ERROR_REASON_INVALID_VALUE, "options",
                  "neither the pooled vector, nor token vectors, nor tokens are to be returned");
  }

  ASSIGN_OR_RETURN(choices.tokenize.truncation, ReadTruncation(options.truncation()));
  ASSIGN_OR_RETURN(choices.tokenize.offset_unit, ReadOffsetUnit(options.offset_unit()));
  choices.tokenize.return_strings = choices.return_tokens;
  choices.tokenize.add_special_tokens =
      !options.has_add_special_tokens() || options.add_special_tokens();
  choices.tokenize.length_max = info.length_default;
  if (options.has_max_length()) {
    if (options.max_length() < 1 || options.max_length() > info.length_max) {
      return Refuse(v1::ERROR_REASON_INVALID_VALUE, "options.max_length",
                    StrCat(options.max_length(), " is not between 1 and ", info.length_max,
                           ", the length of the model's position table"));
    }
    choices.tokenize.length_max = options.max_length();
  }
  return choices;
}

}  // namespace attnd
