#pragma once

#include "core/tensor/matrix.h"

namespace attnd {

// How the rows of one sequence become one vector. `rows` is [n, hidden] with n >= 1, `out` is
// [hidden].
void PoolMean(ConstMatrix rows, float* out);
void PoolMax(ConstMatrix rows, float* out);  // The largest value of each dimension.
void PoolRow(ConstMatrix rows, int64_t row, float* out);

// Scales `vector` [n] to length 1; a vector of length 0 stays as it is.
void NormalizeLength(float* vector, int64_t n);

}  // namespace attnd
