#include "tests/golden/tensors.h"

#include <array>
#include <cstring>
#include <fstream>
#include <iterator>

#include "core/base/status_macros.h"
#include "core/base/strings.h"

namespace attnd::golden {
namespace {

template <typename Stored>
std::vector<double> Widen(std::string_view bytes) {
  std::vector<double> values(bytes.size() / sizeof(Stored));
  for (size_t i = 0; i < values.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, bytes.data() + i * sizeof(Stored), sizeof(Stored));
    values[i] = static_cast<double>(stored);
  }
  return values;
}

}  // namespace

std::vector<uint8_t> Tensor::AsBools() const {
  std::vector<uint8_t> bools;
  for (double value : values) bools.push_back(value != 0);
  return bools;
}

std::vector<int32_t> Tensor::AsInts() const {
  std::vector<int32_t> ints;
  for (double value : values) ints.push_back(static_cast<int32_t>(value));
  return ints;
}

absl::StatusOr<CaseTensors> CaseTensors::Open(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return absl::NotFoundError(StrCat(path, ": cannot be read"));
  const std::string file{std::istreambuf_iterator<char>(stream), {}};
  if (file.size() < 8) return absl::DataLossError(StrCat(path, ": shorter than 8 bytes"));

  std::array<std::byte, 8> length;
  std::memcpy(length.data(), file.data(), length.size());
  ASSIGN_OR_RETURN(const uint64_t header_bytes, SafetensorsHeaderBytes(length, file.size()));
  CaseTensors tensors;
  tensors.data_ = file.substr(8 + header_bytes);
  ASSIGN_OR_RETURN(
      tensors.header_,
      ParseSafetensorsHeader(std::string_view(file).substr(8, header_bytes), tensors.data_.size()));
  return tensors;
}

absl::StatusOr<Tensor> CaseTensors::Read(std::string_view name) const {
  const auto found = header_.find(name);
  if (found == header_.end()) return absl::NotFoundError(StrCat("no tensor ", name));
  const TensorEntry& entry = found->second;
  const auto bytes = std::string_view(data_).substr(entry.begin, entry.end - entry.begin);
  Tensor tensor{.shape = entry.shape};
  if (entry.type_name == "F32") {
    tensor.values = Widen<float>(bytes);
  } else if (entry.type_name == "F64") {
    tensor.values = Widen<double>(bytes);
  } else if (entry.type_name == "I64") {
    tensor.values = Widen<int64_t>(bytes);
  } else if (entry.type_name == "BOOL") {
    tensor.values = Widen<uint8_t>(bytes);
  } else {
    return absl::UnimplementedError(StrCat(name, " has type ", entry.type_name));
  }
  return tensor;
}

std::vector<std::string> CaseTensors::NamesOf(std::string_view case_id) const {
  const std::string prefix = StrCat(case_id, "/");
  std::vector<std::string> names;
  for (auto at = header_.lower_bound(prefix); at != header_.end(); ++at) {
    if (!at->first.starts_with(prefix)) break;
    names.push_back(at->first.substr(prefix.size()));
  }
  return names;
}

}  // namespace attnd::golden
