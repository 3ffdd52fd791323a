#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "core/model/arch.h"
#include "nlohmann/json.hpp"

namespace attnd {

// Limits on what a config.json may ask for. They keep every product of two of them within 64 bits,
// and refuse a damaged file before anything is allocated.
inline constexpr int32_t kHiddenMax = 16'384;
inline constexpr int32_t kInnerMax = 131'072;
inline constexpr int32_t kLayersMax = 256;
inline constexpr int32_t kVocabularyMax = 1 << 24;
inline constexpr int32_t kPositionsMax = 1 << 16;
inline constexpr int32_t kTokenTypesMax = 1024;
inline constexpr int32_t kLabelsMax = 4096;

// The architecture that a config.json of transformers 4.x or 5.x describes. An error names the
// field: a model_type that no family has, a value out of range, or a setting that would give other
// answers than this engine computes.
absl::StatusOr<ArchSpec> DescribeArch(const nlohmann::json& config, const std::string& file_name);

}  // namespace attnd
