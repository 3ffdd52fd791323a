#include "client/convert_tensor.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace attnd::client {
namespace {

static_assert(std::endian::native == std::endian::little, "Tensor.data is little-endian");

// The number of elements, or -1 if a dimension is negative or the product is beyond what a message
// could hold.
int64_t ElementCount(const v1::Tensor& tensor) {
  constexpr int64_t kCountMax = std::numeric_limits<int32_t>::max();
  int64_t count = 1;
  for (const int64_t size : tensor.shape()) {
    if (size < 0 || size > kCountMax) return -1;
    count *= size;  // Both factors are below 2^31.
    if (count > kCountMax) return -1;
  }
  return count;
}

// The numbers of a tensor as rows of its last dimension; a scalar is one row of one.
struct Rows {
  int64_t count = 1;
  int64_t width = 1;
};

Rows RowsOf(const v1::Tensor& tensor, int64_t element_count) {
  if (tensor.shape().empty()) return {};
  const int64_t width = tensor.shape(tensor.shape_size() - 1);
  if (width == 0) return {.count = 0, .width = 0};
  return {.count = element_count / width, .width = width};
}

// The bytes that the elements take, or -1 for a type that this client does not read.
int64_t DataBytes(v1::DataType type, const Rows& rows) {
  switch (type) {
    case v1::DATA_TYPE_FLOAT32:
      return rows.count * rows.width * 4;
    case v1::DATA_TYPE_FLOAT16:
    case v1::DATA_TYPE_BFLOAT16:
      return rows.count * rows.width * 2;
    case v1::DATA_TYPE_INT8:
      return rows.count * rows.width;
    case v1::DATA_TYPE_BIT:
      return rows.count * ((rows.width + 7) / 8);
    default:
      return -1;
  }
}

float FromBfloat16(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// IEEE 754 binary16; exact, for float holds every such number.
float FromFloat16(uint16_t bits) {
  const int exponent = (bits >> 10) & 0x1F;
  const int fraction = bits & 0x3FF;
  float value = 0;
  if (exponent == 0x1F) {
    value = fraction == 0 ? std::numeric_limits<float>::infinity()
                          : std::numeric_limits<float>::quiet_NaN();
  } else if (exponent == 0) {
    value = std::ldexp(static_cast<float>(fraction), -24);
  } else {
    value = std::ldexp(static_cast<float>(fraction + 0x400), exponent - 25);
  }
  return (bits & 0x8000) != 0 ? -value : value;
}

template <float (*kDecode)(uint16_t)>
void Decode16(std::string_view data, std::vector<float>& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    uint16_t bits = 0;
    std::memcpy(&bits, data.data() + i * sizeof(bits), sizeof(bits));
    values[i] = kDecode(bits);
  }
}

void DecodeInt8(const v1::Tensor& tensor, const Rows& rows, std::vector<float>& values) {
  size_t next = 0;
  for (int64_t row = 0; row < rows.count; ++row) {
    const float scale = tensor.scales(static_cast<int>(row));
    for (int64_t i = 0; i < rows.width; ++i, ++next) {
      values[next] = scale * static_cast<float>(static_cast<int8_t>(tensor.data()[next]));
    }
  }
}

void DecodeBits(std::string_view data, const Rows& rows, std::vector<float>& values) {
  const int64_t row_bytes = (rows.width + 7) / 8;
  size_t next = 0;
  for (int64_t row = 0; row < rows.count; ++row) {
    for (int64_t i = 0; i < rows.width; ++i, ++next) {
      const auto byte = static_cast<uint8_t>(data[row * row_bytes + i / 8]);
      values[next] = ((byte >> (7 - i % 8)) & 1) != 0 ? 1 : -1;
    }
  }
}

}  // namespace

v1::Tensor ToProto(const Tensor& tensor) {
  v1::Tensor proto;
  proto.set_dtype(v1::DATA_TYPE_FLOAT32);
  proto.mutable_shape()->Add(tensor.shape.begin(), tensor.shape.end());
  proto.mutable_data()->assign(reinterpret_cast<const char*>(tensor.values.data()),
                               tensor.values.size() * sizeof(float));
  return proto;
}

v1::Tensor ToProto(const BoolTensor& tensor) {
  v1::Tensor proto;
  proto.set_dtype(v1::DATA_TYPE_BOOL);
  proto.mutable_shape()->Add(tensor.shape.begin(), tensor.shape.end());
  proto.mutable_data()->assign(tensor.values.begin(), tensor.values.end());
  return proto;
}

absl::StatusOr<Tensor> FromProto(const v1::Tensor& tensor) {
  const int64_t count = ElementCount(tensor);
  if (count < 0) return absl::InternalError("the reply's tensor has an impossible shape");
  const Rows rows = RowsOf(tensor, count);
  const int64_t bytes = DataBytes(tensor.dtype(), rows);
  if (bytes < 0) {
    return absl::InternalError(absl::StrCat("the reply's tensor has data type ", tensor.dtype(),
                                            ", which this client does not read"));
  }
  if (static_cast<size_t>(bytes) != tensor.data().size()) {
    return absl::InternalError(absl::StrCat("the reply's tensor has ", tensor.data().size(),
                                            " bytes where its shape has ", bytes));
  }
  if (tensor.dtype() == v1::DATA_TYPE_INT8 && tensor.scales_size() != rows.count) {
    return absl::InternalError(absl::StrCat("the reply's tensor has ", tensor.scales_size(),
                                            " scales for ", rows.count, " rows"));
  }
  Tensor result{.shape = {tensor.shape().begin(), tensor.shape().end()},
                .values = std::vector<float>(static_cast<size_t>(count))};
  if (count == 0) return result;
  switch (tensor.dtype()) {
    case v1::DATA_TYPE_FLOAT16:
      Decode16<FromFloat16>(tensor.data(), result.values);
      break;
    case v1::DATA_TYPE_BFLOAT16:
      Decode16<FromBfloat16>(tensor.data(), result.values);
      break;
    case v1::DATA_TYPE_INT8:
      DecodeInt8(tensor, rows, result.values);
      break;
    case v1::DATA_TYPE_BIT:
      DecodeBits(tensor.data(), rows, result.values);
      break;
    default:
      std::memcpy(result.values.data(), tensor.data().data(), tensor.data().size());
  }
  return result;
}

}  // namespace attnd::client
