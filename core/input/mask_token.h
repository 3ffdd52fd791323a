#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "core/base/model_dir.h"

namespace attnd {

// The mask token that a directory names: `mask_token`, a string or an object with `content`, of
// tokenizer_config.json, else of special_tokens_map.json. Absent if neither has one.
absl::StatusOr<std::optional<std::string>> ReadMaskToken(const ModelDir& dir);

}  // namespace attnd
