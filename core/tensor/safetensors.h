#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace attnd {

enum class StoredType { kF32, kF16, kBF16, kOther };

// One tensor of a safetensors file, as its header declares it, after every check.
struct TensorEntry {
  StoredType type = StoredType::kOther;
  std::string type_name;  // As written: "F32", "I64".
  std::vector<int64_t> shape;
  uint64_t begin = 0;  // In the data part of the file, in bytes.
  uint64_t end = 0;
};

// The header of a safetensors file: names in order, each with what it declares.
using SafetensorsHeader = std::map<std::string, TensorEntry, std::less<>>;

// Limits on what an untrusted header may declare. Real headers are below 1 MiB.
inline constexpr uint64_t kSafetensorsHeaderBytesMax = 8u << 20;
inline constexpr size_t kSafetensorsTensorsMax = 65'536;
inline constexpr size_t kSafetensorsRankMax = 8;

// Checks and reads a header (the JSON part, without the 8 length bytes). Every offset lies within
// `data_bytes`; the tensors cover the data with no hole and no overlap; lengths agree with shape
// and type; products do not overflow; no key appears twice. Pure: no file, no allocation beyond the
// header's own size.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::string_view json,
                                                         uint64_t data_bytes);

// Checks a file's first bytes: the 8-byte length field against the file's size and the limit.
absl::StatusOr<uint64_t> SafetensorsHeaderBytes(std::span<const std::byte, 8> length_field,
                                                uint64_t file_bytes);

}  // namespace attnd
