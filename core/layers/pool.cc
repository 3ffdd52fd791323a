#include "core/layers/pool.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/layers/kernels.h"

namespace attnd {

void PoolMean(ConstMatrix rows, float* out) {
  PoolRow(rows, 0, out);
  for (int64_t row = 1; row < rows.rows; ++row) {
    kernels::Sum2(out, rows.row(row), out, rows.columns);
  }
  kernels::Scale(1.0f / static_cast<float>(rows.rows), out, rows.columns);
}

void PoolMax(ConstMatrix rows, float* out) {
  PoolRow(rows, 0, out);
  for (int64_t row = 1; row < rows.rows; ++row) kernels::Max(rows.row(row), out, rows.columns);
}

void PoolRow(ConstMatrix rows, int64_t row, float* out) {
  CHECK_THAT(row >= 0 && row < rows.rows);
  std::copy_n(rows.row(row), rows.columns, out);
}

void NormalizeLength(float* vector, int64_t n) {
  // The floor is that of torch.nn.functional.normalize, which sentence-transformers calls.
  constexpr float kLengthMin = 1e-12f;
  const float length = std::sqrt(kernels::SquaredLength(vector, n));
  kernels::Scale(1.0f / std::max(length, kLengthMin), vector, n);
}

}  // namespace attnd
