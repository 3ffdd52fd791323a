#include "tests/outputs/tensor_check.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "absl/strings/str_join.h"
#include "core/base/strings.h"

namespace attnd::golden {
namespace {

// A number as it was sent: what was encoded is at most `rounding` away from `value`.
struct Number {
  double value = 0;
  double rounding = 0;
};

// IEEE 754's layout in 16 bits: sign, exponent, fraction. Rounded to nearest, a number is off by
// half a unit of its last place at most.
Number ReadHalf(uint16_t bits, int fraction_bits) {
  const int exponent_bits = 15 - fraction_bits;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits & 0x7fff) >> fraction_bits;
  const int fraction = bits & ((1 << fraction_bits) - 1);
  if (exponent == (1 << exponent_bits) - 1) return {.value = std::nan("")};
  const double unit = std::ldexp(1, std::max(exponent, 1) - bias - fraction_bits);
  const double magnitude = unit * (fraction + (exponent > 0 ? 1 << fraction_bits : 0));
  return {.value = bits & 0x8000 ? -magnitude : magnitude, .rounding = unit / 2};
}

uint16_t ReadBits(const char* at) {
  const auto low = static_cast<uint8_t>(at[0]), high = static_cast<uint8_t>(at[1]);
  return static_cast<uint16_t>(high << 8 | low);
}

size_t RowBytes(v1::DataType type, size_t width) {
  switch (type) {
    case v1::DATA_TYPE_FLOAT32:
      return 4 * width;
    case v1::DATA_TYPE_FLOAT16:
    case v1::DATA_TYPE_BFLOAT16:
      return 2 * width;
    case v1::DATA_TYPE_INT8:
      return width;
    default:  // DATA_TYPE_BIT.
      return (width + 7) / 8;
  }
}

// Of a type that is not DATA_TYPE_BIT.
Number ReadNumber(const v1::Tensor& tensor, size_t row, size_t column, size_t width) {
  const char* data = tensor.data().data() + row * RowBytes(tensor.dtype(), width);
  switch (tensor.dtype()) {
    case v1::DATA_TYPE_FLOAT32: {
      float value = 0;
      std::memcpy(&value, data + 4 * column, sizeof(value));
      return {.value = value};
    }
    case v1::DATA_TYPE_FLOAT16:
      return ReadHalf(ReadBits(data + 2 * column), 10);
    case v1::DATA_TYPE_BFLOAT16:
      return ReadHalf(ReadBits(data + 2 * column), 7);
    default: {
      // The quotient is rounded once to a float, at most 127, before it is rounded to a whole.
      const double scale = tensor.scales(static_cast<int>(row));
      return {.value = static_cast<int8_t>(data[column]) * scale,
              .rounding = scale * (0.5 + 0x1p-17)};
    }
  }
}

bool ReadBit(const v1::Tensor& tensor, size_t row, size_t column, size_t width) {
  const size_t byte = row * RowBytes(v1::DATA_TYPE_BIT, width) + column / 8;
  return (static_cast<uint8_t>(tensor.data()[byte]) >> (7 - column % 8) & 1) != 0;
}

double Allowed(double expected, const Tolerance& tolerance) {
  return tolerance.absolute + tolerance.relative * std::abs(expected);
}

// Whether the number is as expected.
bool Agrees(const v1::Tensor& tensor, size_t row, size_t column, const Vector& expected,
            const Tolerance& tolerance) {
  const double wanted = expected[column];
  const double allowed = Allowed(wanted, tolerance);
  if (tensor.dtype() == v1::DATA_TYPE_BIT) {
    const bool in_doubt = allowed > 0 && std::abs(wanted) <= allowed;
    return in_doubt || ReadBit(tensor, row, column, expected.size()) == (wanted > 0);
  }
  const Number sent = ReadNumber(tensor, row, column, expected.size());
  return std::abs(sent.value - wanted) <= allowed + sent.rounding;
}

// INT8: the largest magnitude / 127, a float.
bool ScaleAgrees(double scale, const Vector& expected, const Tolerance& tolerance) {
  double largest = 0;
  for (const double value : expected) largest = std::max(largest, std::abs(value));
  const double float_error = largest * std::numeric_limits<float>::epsilon();
  return std::abs(127 * scale - largest) <= Allowed(largest, tolerance) + float_error;
}

std::string ShapeDifference(const v1::Tensor& tensor, const std::vector<int64_t>& shape) {
  if (std::equal(shape.begin(), shape.end(), tensor.shape().begin(), tensor.shape().end())) {
    return "";
  }
  return StrCat("shape [", absl::StrJoin(tensor.shape(), ", "), "] instead of [",
                absl::StrJoin(shape, ", "), "]");
}

std::string RowsDifference(const v1::Tensor& tensor, v1::DataType type, const Vectors& expected,
                           const Tolerance& tolerance) {
  const size_t width = expected.front().size();
  const bool scaled = type == v1::DATA_TYPE_INT8;
  if (tensor.dtype() != type) return StrCat("type ", tensor.dtype(), " instead of ", type);
  if (tensor.data().size() != expected.size() * RowBytes(type, width) ||
      tensor.scales_size() != (scaled ? static_cast<int>(expected.size()) : 0)) {
    return StrCat(tensor.data().size(), " bytes and ", tensor.scales_size(), " scales");
  }
  for (size_t row = 0; row < expected.size(); ++row) {
    if (scaled && !ScaleAgrees(tensor.scales(static_cast<int>(row)), expected[row], tolerance)) {
      return StrCat("the scale of vector ", row, " is ", tensor.scales(static_cast<int>(row)));
    }
    for (size_t column = 0; column < width; ++column) {
      if (Agrees(tensor, row, column, expected[row], tolerance)) continue;
      const bool is_bit = type == v1::DATA_TYPE_BIT;
      const double sent = is_bit ? ReadBit(tensor, row, column, width)
                                 : ReadNumber(tensor, row, column, width).value;
      return StrCat("at [", row, ", ", column, "]: ", sent, " instead of ", expected[row][column]);
    }
  }
  return "";
}

}  // namespace

std::string Difference(const v1::Tensor& tensor, v1::DataType type, const Vectors& expected,
                       const Tolerance& tolerance) {
  const auto count = static_cast<int64_t>(expected.size());
  if (count == 0) return tensor.shape_size() == 2 && tensor.shape(0) == 0 ? "" : "not empty";
  const auto width = static_cast<int64_t>(expected.front().size());
  const std::string shape = ShapeDifference(tensor, {count, width});
  return shape.empty() ? RowsDifference(tensor, type, expected, tolerance) : shape;
}

std::string Difference(const v1::Tensor& tensor, v1::DataType type, const Vector& expected,
                       const Tolerance& tolerance) {
  const std::string shape = ShapeDifference(tensor, {static_cast<int64_t>(expected.size())});
  return shape.empty() ? RowsDifference(tensor, type, {expected}, tolerance) : shape;
}

std::string Difference(const v1::SparseVector& sparse, const Vector& expected,
                       const Tolerance& tolerance) {
  Vector weights(expected.size(), 0.0);
  if (sparse.weights_size() != sparse.ids_size()) return "ids and weights are not as many";
  for (int i = 0; i < sparse.ids_size(); ++i) {
    const int32_t id = sparse.ids(i), least = i > 0 ? sparse.ids(i - 1) + 1 : 0;
    if (id < least || id >= static_cast<int32_t>(weights.size())) {
      return StrCat("id ", id, " at ", i);
    }
    if (sparse.weights(i) <= 0) return StrCat("id ", id, " has weight ", sparse.weights(i));
    weights[id] = sparse.weights(i);
  }
  for (size_t id = 0; id < weights.size(); ++id) {
    if (std::abs(weights[id] - expected[id]) <= Allowed(expected[id], tolerance)) continue;
    return StrCat("id ", id, ": ", weights[id], " instead of ", expected[id]);
  }
  return "";
}

Vectors ReadFloats(const v1::Tensor& tensor) {
  const auto width = static_cast<size_t>(tensor.shape(tensor.shape_size() - 1));
  Vectors vectors(tensor.data().size() / RowBytes(v1::DATA_TYPE_FLOAT32, width));
  for (size_t row = 0; row < vectors.size(); ++row) {
    for (size_t column = 0; column < width; ++column) {
      vectors[row].push_back(ReadNumber(tensor, row, column, width).value);
    }
  }
  return vectors;
}

}  // namespace attnd::golden
