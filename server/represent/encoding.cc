#include "server/represent/encoding.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <string>

namespace attnd {
namespace {

// `data` is little-endian on the wire, and is copied as it stands.
static_assert(std::endian::native == std::endian::little);

constexpr float kInt8Max = 127;

v1::DataType TypeOf(VectorEncoding encoding) {
  switch (encoding) {
    case VectorEncoding::kFloat32:
      return v1::DATA_TYPE_FLOAT32;
    case VectorEncoding::kFloat16:
      return v1::DATA_TYPE_FLOAT16;
    case VectorEncoding::kBfloat16:
      return v1::DATA_TYPE_BFLOAT16;
    case VectorEncoding::kInt8:
      return v1::DATA_TYPE_INT8;
    case VectorEncoding::kBit:
      return v1::DATA_TYPE_BIT;
  }
  return v1::DATA_TYPE_UNSPECIFIED;
}

uint16_t ToFloat16(float value) {
  constexpr uint32_t kInfinity = 0x7f800000;
  constexpr uint32_t kOverflow = 0x477ff000;     // 65520, half way between the largest and 2^16.
  constexpr uint32_t kLeastNormal = 0x38800000;  // 2^-14
  constexpr uint32_t kBias = (127 - 15) << 23;
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > kInfinity) return sign | 0x7e00;  // NaN
  if (magnitude >= kOverflow) return sign | 0x7c00;
  if (magnitude < kLeastNormal) {
    // A multiple of 2^-24; the product is exact, and the rounding mode is to nearest even.
    return sign | static_cast<uint16_t>(std::nearbyint(std::fabs(value) * 0x1p24f));
  }
  const uint32_t rebased = magnitude - kBias;
  return sign | static_cast<uint16_t>((rebased + 0xfff + ((rebased >> 13) & 1)) >> 13);
}

uint16_t ToBfloat16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

template <typename Convert>
void AppendHalves(std::span<const float> vector, const Convert& convert, std::string& data) {
  const size_t begin = data.size();
  data.resize(begin + vector.size() * sizeof(uint16_t));
  char* out = data.data() + begin;
  for (const float value : vector) {
    const uint16_t half = convert(value);
    *out++ = static_cast<char>(half & 0xff);
    *out++ = static_cast<char>(half >> 8);
  }
}

void AppendInt8(std::span<const float> vector, v1::Tensor& tensor) {
  float largest = 0;
  for (const float value : vector) largest = std::max(largest, std::fabs(value));
  const float scale = largest / kInt8Max;
  tensor.add_scales(scale);
  std::string& data = *tensor.mutable_data();
  for (const float value : vector) {
    const float quotient = std::nearbyint(value / scale);
    // 0/0 where all are 0, or too small for the scale to be a number above 0.
    if (std::isnan(quotient)) {
      data.push_back('\0');
    } else {
      data.push_back(static_cast<char>(std::clamp(quotient, -kInt8Max, kInt8Max)));
    }
  }
}

void AppendBits(std::span<const float> vector, std::string& data) {
  const size_t begin = data.size();
  data.resize(begin + (vector.size() + 7) / 8);
  for (size_t i = 0; i < vector.size(); ++i) {
    if (vector[i] > 0) data[begin + i / 8] = static_cast<char>(data[begin + i / 8] | 0x80 >> i % 8);
  }
}

}  // namespace

int64_t EncodedBytes(VectorEncoding encoding, int64_t width) {
  switch (encoding) {
    case VectorEncoding::kFloat32:
      return width * static_cast<int64_t>(sizeof(float));
    case VectorEncoding::kFloat16:
    case VectorEncoding::kBfloat16:
      return width * static_cast<int64_t>(sizeof(uint16_t));
    case VectorEncoding::kInt8:
      return width + static_cast<int64_t>(sizeof(float));
    case VectorEncoding::kBit:
      return (width + 7) / 8;
  }
  return 0;
}

void SetShape(VectorEncoding encoding, std::span<const int64_t> shape, v1::Tensor& tensor) {
  tensor.set_dtype(TypeOf(encoding));
  tensor.mutable_shape()->Assign(shape.begin(), shape.end());
  tensor.clear_data();
  tensor.clear_scales();
  int64_t vectors = shape.empty() ? 0 : 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) vectors *= shape[i];
  if (vectors > 0) {
    tensor.mutable_data()->reserve(
        static_cast<size_t>(vectors * EncodedBytes(encoding, shape.back())));
  }
}

void AppendVectors(ConstMatrix vectors, VectorEncoding encoding, v1::Tensor& tensor) {
  std::string& data = *tensor.mutable_data();
  const bool contiguous = vectors.columns == vectors.stride;
  if (encoding == VectorEncoding::kFloat32 && contiguous) {
    data.append(reinterpret_cast<const char*>(vectors.data),
                static_cast<size_t>(vectors.rows * vectors.columns) * sizeof(float));
    return;
  }
  for (int64_t i = 0; i < vectors.rows; ++i) {
    const std::span<const float> vector(vectors.row(i), static_cast<size_t>(vectors.columns));
    switch (encoding) {
      case VectorEncoding::kFloat32:
        data.append(reinterpret_cast<const char*>(vector.data()), vector.size_bytes());
        break;
      case VectorEncoding::kFloat16:
        AppendHalves(vector, &ToFloat16, data);
        break;
      case VectorEncoding::kBfloat16:
        AppendHalves(vector, &ToBfloat16, data);
        break;
      case VectorEncoding::kInt8:
        AppendInt8(vector, tensor);
        break;
      case VectorEncoding::kBit:
        AppendBits(vector, data);
        break;
    }
  }
}

void WriteVector(std::span<const float> vector, VectorEncoding encoding, v1::Tensor& tensor) {
  const auto size = static_cast<int64_t>(vector.size());
  SetShape(encoding, std::array{size}, tensor);
  AppendVectors({vector.data(), 1, size, size}, encoding, tensor);
}

}  // namespace attnd
