#pragma once

#include <string>

#include "attnd/v1/encoder.pb.h"
#include "tests/golden/compare.h"
#include "tests/outputs/golden_inputs.h"

namespace attnd::golden {

// Empty if `tensor`, of shape [vectors, width], says what is expected: each number within the
// tolerance and what its type rounds away, and INT8's scale within the tolerance of its definition.
// A bit has to be right where the tolerance leaves no doubt of the number's sign. Else what
// differs.
std::string Difference(const v1::Tensor& tensor, v1::DataType type, const Vectors& expected,
                       const Tolerance& tolerance);
// The same for one vector, of shape [width].
std::string Difference(const v1::Tensor& tensor, v1::DataType type, const Vector& expected,
                       const Tolerance& tolerance);

// Empty if `sparse` has the weights that are not 0, [vocabulary], by rising id.
std::string Difference(const v1::SparseVector& sparse, const Vector& expected,
                       const Tolerance& tolerance);

// The numbers of a FLOAT32 tensor of [vectors, width], or of one vector.
Vectors ReadFloats(const v1::Tensor& tensor);

}  // namespace attnd::golden
