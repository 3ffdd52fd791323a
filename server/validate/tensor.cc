#include "server/validate/tensor.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "absl/strings/str_join.h"
#include "core/base/strings.h"
#include "server/validate/error.h"

namespace attnd {
namespace {

// `data` is little-endian on the wire, and is copied as it stands.
static_assert(std::endian::native == std::endian::little);

constexpr size_t kBoolBytes = 1;

size_t ElementBytes(v1::DataType type) {
  return type == v1::DATA_TYPE_BOOL ? kBoolBytes : sizeof(float);
}

std::string_view NumberName(float value) {
  return std::isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
}

bool IsAllowed(float value, NonFinite allowed) {
  switch (allowed) {
    case NonFinite::kRefused:
      return std::isfinite(value);
    case NonFinite::kNegativeInfinity:
      return std::isfinite(value) || (std::isinf(value) && value < 0);
    case NonFinite::kAll:
      return true;
  }
  return false;
}

}  // namespace

std::string ShapeText(std::span<const int64_t> shape) {
  return StrCat("[", absl::StrJoin(shape.begin(), shape.end(), ", "), "]");
}

absl::Status CheckTensor(const v1::Tensor& tensor, v1::DataType type, int rank,
                         std::string_view field) {
  const auto refuse = [&](std::string_view part, std::string_view what) {
    return Refuse(v1::ERROR_REASON_INVALID_SHAPE, StrCat(field, ".", part), what);
  };
  if (tensor.dtype() != type) {
    const std::string given = v1::DataType_IsValid(tensor.dtype())
                                  ? v1::DataType_Name(tensor.dtype())
                                  : StrCat(static_cast<int>(tensor.dtype()));
    return refuse("dtype", StrCat(given, " is given, ", v1::DataType_Name(type), " wanted"));
  }
  if (tensor.shape_size() != rank) {
    return refuse("shape", StrCat(tensor.shape_size(), " dimensions are given, ", rank, " wanted"));
  }
  // The product never passes the number of elements that are really there, so it cannot overflow.
  const auto elements = static_cast<int64_t>(tensor.data().size() / ElementBytes(type));
  int64_t product = 1;
  for (int i = 0; i < rank; ++i) {
    const int64_t dimension = tensor.shape(i);
    if (dimension < 1) {
      return refuse(StrCat("shape[", i, "]"), StrCat(dimension, " is below 1"));
    }
    if (dimension > elements / product) {
      product = -1;
      break;
    }
    product *= dimension;
  }
  if (product < 0 || static_cast<size_t>(product) * ElementBytes(type) != tensor.data().size()) {
    return refuse(
        "data",
        StrCat(tensor.data().size(), " bytes are no ", v1::DataType_Name(type), " tensor of shape ",
               ShapeText({tensor.shape().data(), static_cast<size_t>(tensor.shape_size())})));
  }
  return absl::OkStatus();
}

absl::Status CheckShape(const v1::Tensor& tensor, std::span<const int64_t> shape,
                        std::string_view field) {
  if (std::equal(shape.begin(), shape.end(), tensor.shape().begin(), tensor.shape().end())) {
    return absl::OkStatus();
  }
  const std::span<const int64_t> given(tensor.shape().data(),
                                       static_cast<size_t>(tensor.shape_size()));
  return Refuse(v1::ERROR_REASON_INVALID_SHAPE, StrCat(field, ".shape"),
                StrCat(ShapeText(given), " is given, ", ShapeText(shape), " wanted"));
}

absl::StatusOr<std::vector<float>> ReadFloats(const v1::Tensor& tensor, NonFinite allowed,
                                              std::string_view field) {
  std::vector<float> values(tensor.data().size() / sizeof(float));
  std::memcpy(values.data(), tensor.data().data(), values.size() * sizeof(float));
  for (size_t i = 0; i < values.size(); ++i) {
    if (!IsAllowed(values[i], allowed)) [[unlikely]] {
      return Refuse(v1::ERROR_REASON_NOT_FINITE, StrCat(field, ".data"),
                    StrCat("element ", i, " is ", NumberName(values[i])));
    }
  }
  return values;
}

absl::StatusOr<std::vector<uint8_t>> ReadBools(const v1::Tensor& tensor, std::string_view field) {
  std::vector<uint8_t> values(tensor.data().begin(), tensor.data().end());
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] > 1) {
      return Refuse(v1::ERROR_REASON_INVALID_VALUE, StrCat(field, ".data"),
                    StrCat("element ", i, " is ", values[i], ", and neither 0 nor 1"));
    }
  }
  return values;
}

void WriteFloats(std::span<const float> values, std::span<const int64_t> shape,
                 v1::Tensor& tensor) {
  tensor.set_dtype(v1::DATA_TYPE_FLOAT32);
  tensor.mutable_shape()->Assign(shape.begin(), shape.end());
  tensor.mutable_data()->assign(reinterpret_cast<const char*>(values.data()),
                                values.size() * sizeof(float));
}

}  // namespace attnd
