#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "attnd/v1/tensor.pb.h"

namespace attnd {

// Which of the numbers that aren't finite a tensor may hold.
enum class NonFinite { kRefused, kNegativeInfinity, kAll };

// "[2, 3]"
std::string ShapeText(std::span<const int64_t> shape);

// Checks that `tensor` has this type, `rank` dimensions of at least 1, and as many bytes as its
// shape says. Errors name `field`. Nothing is allocated by the caller's numbers.
absl::Status CheckTensor(const v1::Tensor& tensor, v1::DataType type, int rank,
                         std::string_view field);

// Checks that a tensor has exactly this shape.
absl::Status CheckShape(const v1::Tensor& tensor, std::span<const int64_t> shape,
                        std::string_view field);

// The elements of a FLOAT32 tensor that CheckTensor has passed.
absl::StatusOr<std::vector<float>> ReadFloats(const v1::Tensor& tensor, NonFinite allowed,
                                              std::string_view field);

// The elements of a BOOL tensor that CheckTensor has passed; each is 0 or 1.
absl::StatusOr<std::vector<uint8_t>> ReadBools(const v1::Tensor& tensor, std::string_view field);

// Makes `tensor` a FLOAT32 one.
void WriteFloats(std::span<const float> values, std::span<const int64_t> shape, v1::Tensor& tensor);

}  // namespace attnd
