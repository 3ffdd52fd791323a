#include "core/tensor/weights.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <functional>
#include <utility>

#include "absl/strings/str_join.h"
#include "core/base/check.h"
#include "core/base/json.h"
#include "core/base/printable.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"

namespace attnd {
namespace {

constexpr std::string_view kSingleFile = "model.safetensors";
constexpr std::string_view kIndexFile = "model.safetensors.index.json";
constexpr uint64_t kIndexBytesMax = 8u << 20;
constexpr size_t kChunkElements = 1u << 18;

absl::Status InFile(std::string_view name, const absl::Status& status) {
  return absl::Status(status.code(), StrCat(name, ": ", status.message()));
}

uint64_t ElementCount(const TensorEntry& entry) {
  if (entry.begin == entry.end) return 0;
  uint64_t count = 1;
  for (const int64_t size : entry.shape)
    count *= static_cast<uint64_t>(size);  // Checked against the bytes.
  return count;
}

std::string ShapeText(std::span<const int64_t> shape) {
  return StrCat("[", absl::StrJoin(shape, ", "), "]");
}

// f32 has every value of F16. The bits, moved to f32's places, are off by a factor 2^(127-15);
// multiplying by a power of two is exact, and makes subnormal numbers normal.
float FromF16(uint16_t half) {
  const float magnitude =
      std::bit_cast<float>(static_cast<uint32_t>(half & 0x7fffu) << 13) * 0x1p112f;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) |
                              static_cast<uint32_t>(half & 0x8000u) << 16);
}

float FromBF16(uint16_t half) { return std::bit_cast<float>(static_cast<uint32_t>(half) << 16); }

bool AllFinite(std::span<const float> values) {
  uint32_t bad = 0;
  for (const float value : values) {
    bad |= static_cast<uint32_t>((std::bit_cast<uint32_t>(value) & 0x7f800000u) == 0x7f800000u);
  }
  return bad == 0;
}

bool AllFiniteF16(std::span<const uint16_t> values) {
  uint32_t bad = 0;
  for (const uint16_t value : values) bad |= static_cast<uint32_t>((value & 0x7c00u) == 0x7c00u);
  return bad == 0;
}

// Reads `out.size()` elements of 2 bytes at `offset` and widens them; false if one is NaN or Inf.
absl::StatusOr<bool> ReadHalves(const ModelFile& file, uint64_t offset, StoredType type,
                                std::span<float> out) {
  std::vector<uint16_t> halves(std::min(out.size(), kChunkElements));
  while (!out.empty()) {
    const std::span<uint16_t> chunk(halves.data(), std::min(out.size(), kChunkElements));
    RETURN_IF_ERROR(file.ReadAt(offset, chunk.size_bytes(), chunk.data()));
    const std::span<float> to = out.first(chunk.size());
    if (type == StoredType::kF16) {
      if (!AllFiniteF16(chunk)) return false;
      std::transform(chunk.begin(), chunk.end(), to.begin(), FromF16);
    } else {
      std::transform(chunk.begin(), chunk.end(), to.begin(), FromBF16);
      if (!AllFinite(to)) return false;
    }
    offset += chunk.size_bytes();
    out = out.subspan(chunk.size());
  }
  return true;
}

absl::StatusOr<bool> ReadFloats(const ModelFile& file, uint64_t offset, std::span<float> out) {
  while (!out.empty()) {
    const std::span<float> chunk = out.first(std::min(out.size(), kChunkElements));
    RETURN_IF_ERROR(file.ReadAt(offset, chunk.size_bytes(), chunk.data()));
    if (!AllFinite(chunk)) return false;
    offset += chunk.size_bytes();
    out = out.subspan(chunk.size());
  }
  return true;
}

// weight_map of the index: tensor name -> file name.
absl::StatusOr<std::map<std::string, std::string>> ReadWeightMap(const ModelDir& dir) {
  ASSIGN_OR_RETURN(const std::string text, dir.ReadFile(kIndexFile, kIndexBytesMax));
  ASSIGN_OR_RETURN(const nlohmann::json index, ParseJson(text, kIndexFile));
  const auto weight_map = index.is_object() ? index.find("weight_map") : index.end();
  if (weight_map == index.end() || !weight_map->is_object()) {
    return absl::InvalidArgumentError(StrCat(kIndexFile, ": weight_map is missing or no object"));
  }
  std::map<std::string, std::string> files;
  for (const auto& [tensor, file] : weight_map->items()) {
    if (!file.is_string() || file.get_ref<const std::string&>().find('/') != std::string::npos) {
      return absl::InvalidArgumentError(StrCat(kIndexFile, ": the shard of tensor ",
                                               Printable(tensor),
                                               " is no file name without slashes"));
    }
    files.emplace(tensor, file.get<std::string>());
  }
  if (files.empty()) return absl::InvalidArgumentError(StrCat(kIndexFile, ": weight_map is empty"));
  return files;
}

}  // namespace

absl::StatusOr<Weights> Weights::Open(const ModelDir& dir) {
  Weights weights;
  if (dir.Has(kSingleFile)) {
    ASSIGN_OR_RETURN(ModelFile file, dir.OpenFile(kSingleFile, kFileBytesMax));
    return OpenFile(std::move(file));
  }
  if (!dir.Has(kIndexFile)) {
    return absl::NotFoundError(StrCat(kSingleFile, ": not found, nor ", kIndexFile,
                                      "; weights in other formats are not read"));
  }
  RETURN_IF_ERROR(weights.OpenShards(dir));
  weights.Summarize();
  return weights;
}

absl::StatusOr<Weights> Weights::OpenFile(ModelFile file) {
  Weights weights;
  RETURN_IF_ERROR(weights.AddFile(std::move(file)));
  weights.Summarize();
  return weights;
}

absl::Status Weights::OpenShards(const ModelDir& dir) {
  ASSIGN_OR_RETURN(const auto weight_map, ReadWeightMap(dir));
  std::map<std::string, size_t> numbers;
  for (const auto& [tensor, file] : weight_map) numbers.emplace(file, 0);
  if (numbers.size() > kShardsMax) {
    return absl::InvalidArgumentError(
        StrCat(kIndexFile, ": names ", numbers.size(), " shards; the limit is ", kShardsMax));
  }
  for (auto& [file, number] : numbers) {
    number = files_.size();
    ASSIGN_OR_RETURN(ModelFile shard, dir.OpenFile(file, kFileBytesMax));
    RETURN_IF_ERROR(AddFile(std::move(shard)));
  }
  for (const auto& [tensor, file] : weight_map) {
    const auto it = tensors_.find(tensor);
    if (it == tensors_.end() || it->second.file != numbers[file]) {
      return absl::InvalidArgumentError(StrCat(kIndexFile, ": tensor ", Printable(tensor),
                                               " is not in ", Printable(file),
                                               ", where the index has it"));
    }
  }
  return absl::OkStatus();
}

absl::Status Weights::AddFile(ModelFile file) {
  std::array<std::byte, 8> length_field;
  if (file.size() < length_field.size()) {
    return absl::InvalidArgumentError(
        StrCat(file.name(), ": has ", file.size(), " bytes; the length field alone has 8"));
  }
  RETURN_IF_ERROR(file.ReadAt(0, length_field.size(), length_field.data()));
  const auto header_bytes = SafetensorsHeaderBytes(length_field, file.size());
  if (!header_bytes.ok()) return InFile(file.name(), header_bytes.status());
  std::string json(*header_bytes, '\0');
  RETURN_IF_ERROR(file.ReadAt(length_field.size(), json.size(), json.data()));
  const uint64_t data_begin = length_field.size() + json.size();
  auto header = ParseSafetensorsHeader(json, file.size() - data_begin);
  if (!header.ok()) return InFile(file.name(), header.status());

  for (auto& [tensor, entry] : *header) {
    if (!tensors_.emplace(tensor, Located{files_.size(), std::move(entry)}).second) {
      return absl::InvalidArgumentError(
          StrCat(file.name(), ": tensor ", Printable(tensor), " is in another shard already"));
    }
  }
  if (tensors_.size() > kSafetensorsTensorsMax) {
    return absl::InvalidArgumentError(
        StrCat(file.name(), ": the shards hold more than ", kSafetensorsTensorsMax, " tensors"));
  }
  data_begins_.push_back(data_begin);
  file_names_.push_back(file.name());
  files_.push_back(std::move(file));
  return absl::OkStatus();
}

void Weights::Summarize() {
  uint64_t largest = 0;
  for (const auto& [name, located] : tensors_) {
    const uint64_t count = ElementCount(located.entry);
    element_count_ += count;
    if (count >= largest) {
      largest = count;
      checkpoint_type_ = located.entry.type_name;
    }
  }
}

const TensorEntry* Weights::Find(std::string_view name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : &it->second.entry;
}

std::vector<std::string> Weights::Names() const {
  std::vector<std::string> names;
  names.reserve(tensors_.size());
  for (const auto& [name, located] : tensors_) names.push_back(name);
  return names;
}

absl::Status Weights::Check(std::string_view name, std::span<const int64_t> shape) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) {
    return absl::NotFoundError(
        StrCat(file_names_.size() == 1 ? file_names_[0] : std::string(kIndexFile), ": tensor ",
               Printable(name), " is missing"));
  }
  const TensorEntry& entry = it->second.entry;
  const ModelFile& file = files_[it->second.file];
  const auto refuse = [&](std::string_view reason) {
    return absl::InvalidArgumentError(
        StrCat(file.name(), ": tensor ", Printable(name), " ", reason));
  };
  if (!std::equal(shape.begin(), shape.end(), entry.shape.begin(), entry.shape.end())) {
    return refuse(
        StrCat("has shape ", ShapeText(entry.shape), "; ", ShapeText(shape), " is wanted"));
  }
  if (entry.type == StoredType::kOther) {
    return refuse(StrCat("has dtype ", entry.type_name, "; F32, F16 or BF16 is wanted"));
  }
  return absl::OkStatus();
}

absl::Status Weights::Read(std::string_view name, std::span<const int64_t> shape,
                           std::span<float> out) const {
  RETURN_IF_ERROR(Check(name, shape));
  const auto& [number, entry] = tensors_.find(name)->second;
  CHECK_THAT(out.size() == ElementCount(entry));
  const ModelFile& file = files_[number];
  const uint64_t offset = data_begins_[number] + entry.begin;
  ASSIGN_OR_RETURN(const bool finite, entry.type == StoredType::kF32
                                          ? ReadFloats(file, offset, out)
                                          : ReadHalves(file, offset, entry.type, out));
  if (finite) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat(file.name(), ": tensor ", Printable(name), " holds NaN or Inf"));
}

}  // namespace attnd
