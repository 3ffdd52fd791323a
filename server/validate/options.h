#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "attnd/v1/encoder.pb.h"
#include "core/input/tokenizer.h"
#include "core/model/model_info.h"

namespace attnd {

// Options that several methods have, with their defaults filled in. Errors name the field as
// "options.NAME".

absl::StatusOr<Truncation> ReadTruncation(v1::Truncation truncation);
absl::StatusOr<OffsetUnit> ReadOffsetUnit(v1::OffsetUnit unit);
// Absent: the model's default. 1 up to the length of its position table.
absl::StatusOr<int32_t> ReadMaxLength(std::optional<int32_t> max_length, const ModelInfo& info);

// `given` if it is at least 1; INVALID_VALUE if it is not. Absent: `fallback`.
absl::StatusOr<int32_t> ReadCount(std::string_view name, std::optional<int32_t> given,
                                  int32_t fallback);

// The value of an `optional` field: IfSet(options.has_top_k(), options.top_k()).
inline std::optional<int32_t> IfSet(bool is_set, int32_t value) {
  return is_set ? std::optional(value) : std::nullopt;
}

}  // namespace attnd
