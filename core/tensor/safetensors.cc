#include "core/tensor/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <set>
#include <utility>

#include "core/base/json.h"
#include "core/base/printable.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "nlohmann/json.hpp"

namespace attnd {
namespace {

using Json = nlohmann::json;

struct StoredTypeInfo {
  std::string_view name;
  uint64_t bytes;
  StoredType type;
};

// The types of the format that fill whole bytes; F4 and F6 do not, and are refused.
constexpr StoredTypeInfo kTypes[] = {
    {"F32", 4, StoredType::kF32},       {"F16", 2, StoredType::kF16},
    {"BF16", 2, StoredType::kBF16},     {"F64", 8, StoredType::kOther},
    {"I64", 8, StoredType::kOther},     {"I32", 4, StoredType::kOther},
    {"I16", 2, StoredType::kOther},     {"I8", 1, StoredType::kOther},
    {"U64", 8, StoredType::kOther},     {"U32", 4, StoredType::kOther},
    {"U16", 2, StoredType::kOther},     {"U8", 1, StoredType::kOther},
    {"BOOL", 1, StoredType::kOther},    {"F8_E4M3", 1, StoredType::kOther},
    {"F8_E5M2", 1, StoredType::kOther}, {"F8_E8M0", 1, StoredType::kOther},
};

// False if the product does not fit; then `product` holds no answer.
bool CheckedMultiply(uint64_t a, uint64_t b, uint64_t& product) {
  return !__builtin_mul_overflow(a, b, &product);
}

// The bytes of a tensor of that type and shape. False if they do not fit 64 bits. A zero counts
// last, so that the order of the dimensions does not decide whether a product of the others
// overflows.
bool TensorBytes(uint64_t type_bytes, std::span<const int64_t> shape, uint64_t& bytes) {
  bool empty = false;
  bytes = type_bytes;
  for (const int64_t size : shape) {
    empty |= size == 0;
    if (size != 0 && !CheckedMultiply(bytes, static_cast<uint64_t>(size), bytes)) return false;
  }
  if (empty) bytes = 0;
  return true;
}

// Reads the header without building it as JSON first, so that memory stays below a small multiple
// of its text:
//   {"__metadata__": {key: text, ...}, name: {"dtype": text, "shape": [n, ...], "data_offsets": [n,
//   n]}, ...}
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderReader(uint64_t data_bytes) : data_bytes_(data_bytes) {}

  bool null() override { return Unexpected(); }
  bool boolean(bool) override { return Unexpected(); }
  bool number_integer(number_integer_t) override { return FailTensor("holds a negative number"); }
  bool number_float(number_float_t, const string_t&) override {
    return FailTensor("holds a number that is not a whole number of 64 bits");
  }
  bool binary(binary_t&) override { return Unexpected(); }

  bool number_unsigned(number_unsigned_t value) override {
    if (at_ == At::kShape) {
      if (entry_.shape.size() == kSafetensorsRankMax) {
        return FailTensor(StrCat("has more than ", kSafetensorsRankMax, " dimensions"));
      }
      if (!std::in_range<int64_t>(value)) return FailTensor(StrCat("has a dimension of ", value));
      entry_.shape.push_back(static_cast<int64_t>(value));
      return true;
    }
    if (at_ == At::kOffsets) {
      if (offset_count_ == 2) return FailTensor("has more than two data_offsets");
      offsets_[offset_count_++] = value;
      return true;
    }
    return Unexpected();
  }

  bool string(string_t& value) override {
    if (at_ == At::kMetadata) return true;
    if (at_ != At::kTensor || field_ != Field::kType) return Unexpected();
    const auto* type = std::find_if(std::begin(kTypes), std::end(kTypes),
                                    [&](const auto& t) { return t.name == value; });
    if (type == std::end(kTypes))
      return FailTensor(StrCat("has the unknown dtype ", Printable(value)));
    entry_.type = type->type;
    entry_.type_name = value;
    type_bytes_ = type->bytes;
    return true;
  }

  bool start_object(size_t) override {
    if (at_ == At::kStart) {
      at_ = At::kHeader;
      return true;
    }
    if (at_ != At::kHeader) return Unexpected();
    at_ = name_ == "__metadata__" ? At::kMetadata : At::kTensor;
    seen_ = 0;
    return true;
  }

  bool key(string_t& key) override {
    switch (at_) {
      case At::kHeader:
        name_ = key;
        if (name_ == "__metadata__")
          return std::exchange(has_metadata_, true) ? FailTensor("appears twice") : true;
        if (header_.contains(name_)) return FailTensor("appears twice");
        if (header_.size() == kSafetensorsTensorsMax) {
          return Fail(StrCat("header declares more than ", kSafetensorsTensorsMax, " tensors"));
        }
        entry_ = {};
        offset_count_ = 0;
        return true;
      case At::kMetadata:
        if (metadata_keys_.insert(key).second) return true;
        return Fail(StrCat("__metadata__ has the key ", Printable(key), " twice"));
      case At::kTensor:
        return StartField(key);
      default:
        return Unexpected();
    }
  }

  bool end_object() override {
    if (at_ == At::kHeader) {
      at_ = At::kEnd;
      return true;
    }
    const bool ends_tensor = at_ == At::kTensor;
    at_ = At::kHeader;
    return ends_tensor ? AddTensor() : true;
  }

  bool start_array(size_t) override {
    if (at_ != At::kTensor || field_ == Field::kType) return Unexpected();
    at_ = field_ == Field::kShape ? At::kShape : At::kOffsets;
    return true;
  }

  bool end_array() override {
    at_ = At::kTensor;
    return true;
  }

  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    return Fail(StrCat("header is no valid JSON: ", JsonErrorReason(error.what())));
  }

  const std::string& error() const { return error_; }
  SafetensorsHeader TakeHeader() { return std::move(header_); }

 private:
  enum class At { kStart, kHeader, kMetadata, kTensor, kShape, kOffsets, kEnd };
  enum class Field : unsigned { kType = 1, kShape = 2, kOffsets = 4 };
  static constexpr unsigned kAllFields = 7;

  bool Fail(std::string reason) {
    error_ = std::move(reason);
    return false;
  }
  bool FailTensor(std::string_view reason) {
    return Fail(StrCat("tensor ", Printable(name_), " ", reason));
  }
  bool Unexpected() {
    if (at_ == At::kStart) return Fail("header is not a JSON object");
    return Fail(
        StrCat("header holds a value of another kind than the format has, at ", Printable(name_)));
  }

  bool StartField(const std::string& key) {
    if (key == "dtype") {
      field_ = Field::kType;
    } else if (key == "shape") {
      field_ = Field::kShape;
    } else if (key == "data_offsets") {
      field_ = Field::kOffsets;
    } else {
      return FailTensor(StrCat("has the unknown field ", Printable(key)));
    }
    const unsigned bit = static_cast<unsigned>(field_);
    if ((seen_ & bit) != 0) return FailTensor(StrCat("has the field ", key, " twice"));
    seen_ |= bit;
    return true;
  }

  bool AddTensor() {
    if (seen_ != kAllFields) return FailTensor("lacks one of dtype, shape and data_offsets");
    if (offset_count_ != 2) return FailTensor("has fewer than two data_offsets");
    const auto [begin, end] = offsets_;
    if (begin > end || end > data_bytes_) {
      return FailTensor(StrCat("has data_offsets ", begin, " to ", end, "; the data has ",
                               data_bytes_, " bytes"));
    }
    uint64_t bytes = 0;
    if (!TensorBytes(type_bytes_, entry_.shape, bytes))
      return FailTensor("has a shape whose size overflows");
    if (bytes != end - begin) {
      return FailTensor(
          StrCat("has ", end - begin, " bytes of data; its shape and dtype take ", bytes));
    }
    entry_.begin = begin;
    entry_.end = end;
    header_.emplace(name_, std::move(entry_));
    return true;
  }

  const uint64_t data_bytes_;
  SafetensorsHeader header_;
  std::set<std::string> metadata_keys_;
  bool has_metadata_ = false;
  std::string error_;

  // The tensor being read.
  At at_ = At::kStart;
  std::string name_;
  Field field_ = Field::kType;
  unsigned seen_ = 0;
  TensorEntry entry_;
  uint64_t type_bytes_ = 0;
  std::array<uint64_t, 2> offsets_ = {};
  size_t offset_count_ = 0;
};

// Every byte of the data belongs to exactly one tensor.
absl::Status CheckCoverage(const SafetensorsHeader& header, uint64_t data_bytes) {
  std::vector<const SafetensorsHeader::value_type*> in_order;
  in_order.reserve(header.size());
  for (const auto& item : header) in_order.push_back(&item);
  std::sort(in_order.begin(), in_order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  uint64_t covered = 0;
  for (const auto* item : in_order) {
    const auto& [name, entry] = *item;
    if (entry.begin != covered) {
      return absl::InvalidArgumentError(
          StrCat("tensor ", Printable(name), " begins at byte ", entry.begin, " of the data, ",
                 entry.begin < covered ? "over another tensor" : "after a hole", " (expected ",
                 covered, ")"));
    }
    covered = entry.end;
  }
  if (covered != data_bytes) {
    return absl::InvalidArgumentError(
        StrCat("tensors cover ", covered, " bytes of data; the file has ", data_bytes));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<uint64_t> SafetensorsHeaderBytes(std::span<const std::byte, 8> length_field,
                                                uint64_t file_bytes) {
  static_assert(std::endian::native == std::endian::little, "the length field is little-endian");
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, length_field.data(), sizeof(header_bytes));
  if (file_bytes < length_field.size() || header_bytes > file_bytes - length_field.size()) {
    return absl::InvalidArgumentError(StrCat("header claims ", header_bytes,
                                             " bytes; the file has ", file_bytes,
                                             " with the 8 of the length"));
  }
  if (header_bytes > kSafetensorsHeaderBytesMax) {
    return absl::InvalidArgumentError(StrCat("header claims ", header_bytes,
                                             " bytes; the limit is ", kSafetensorsHeaderBytesMax));
  }
  return header_bytes;
}

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::string_view json,
                                                         uint64_t data_bytes) {
  if (!json.starts_with('{')) return absl::InvalidArgumentError("header does not begin with {");
  // nlohmann's lexer takes a NUL byte for the end of the text, and would not see what follows.
  if (json.find('\0') != std::string_view::npos)
    return absl::InvalidArgumentError("header holds a NUL byte");
  HeaderReader reader(data_bytes);
  if (!Json::sax_parse(json.begin(), json.end(), &reader))
    return absl::InvalidArgumentError(reader.error());
  SafetensorsHeader header = reader.TakeHeader();
  RETURN_IF_ERROR(CheckCoverage(header, data_bytes));
  return header;
}

}  // namespace attnd
