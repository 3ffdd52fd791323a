#include "server/validate/options.h"

#include "core/base/strings.h"
#include "server/validate/error.h"

namespace attnd {

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

absl::StatusOr<int32_t> ReadMaxLength(std::optional<int32_t> max_length, const ModelInfo& info) {
  if (!max_length) return info.length_default;
  if (*max_length >= 1 && *max_length <= info.length_max) return *max_length;
  return Refuse(v1::ERROR_REASON_INVALID_VALUE, "options.max_length",
                StrCat(*max_length, " is not between 1 and ", info.length_max,
                       ", the length of the model's position table"));
}

absl::StatusOr<int32_t> ReadCount(std::string_view name, std::optional<int32_t> given,
                                  int32_t fallback) {
  const int32_t count = given.value_or(fallback);
  if (count >= 1) return count;
  return Refuse(v1::ERROR_REASON_INVALID_VALUE, StrCat("options.", name),
                StrCat(count, " is not at least 1"));
}

}  // namespace attnd
