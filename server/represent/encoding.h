#pragma once

#include <cstdint>
#include <span>

#include "attnd/v1/tensor.pb.h"
#include "core/tensor/matrix.h"

namespace attnd {

// How the numbers of a vector are sent.
enum class VectorEncoding {
  kFloat32,
  kFloat16,   // IEEE 754 binary16. Rounded to nearest, ties to even; beyond its range, infinite.
  kBfloat16,  // The upper half of a float. Rounded to nearest, ties to even.
  kInt8,      // A number stands for itself times the vector's scale: its largest magnitude / 127.
  kBit,       // 1 where a number is above 0; eight to a byte, the first in the highest bit.
};

// What one vector of `width` numbers takes in a Tensor, with its scale.
int64_t EncodedBytes(VectorEncoding encoding, int64_t width);

// Makes `tensor` an empty one of this shape, for AppendVectors to fill.
void SetShape(VectorEncoding encoding, std::span<const int64_t> shape, v1::Tensor& tensor);

// Appends the rows of `vectors` to the data, and to the scales, of `tensor`.
void AppendVectors(ConstMatrix vectors, VectorEncoding encoding, v1::Tensor& tensor);

// All of it for one vector, of shape [n].
void WriteVector(std::span<const float> vector, VectorEncoding encoding, v1::Tensor& tensor);

}  // namespace attnd
