#pragma once

#include <cstdint>

#include "core/base/packed_batch.h"

namespace attnd {

// A view of f32 rows in row-major order; `stride` elements from one row to the next. The owner must
// outlive it.
struct ConstMatrix {
  const float* data = nullptr;
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t stride = 0;

  const float* row(int64_t index) const { return data + index * stride; }
};

struct Matrix {
  float* data = nullptr;
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t stride = 0;

  float* row(int64_t index) const { return data + index * stride; }
  // A Matrix serves wherever one is only read. NOLINTNEXTLINE(google-explicit-constructor)
  operator ConstMatrix() const { return {data, rows, columns, stride}; }
};

// The rows of one sequence of a batch.
inline Matrix Part(Matrix x, PackedBatch::Rows rows) {
  return {x.row(rows.begin), rows.count(), x.columns, x.stride};
}
inline ConstMatrix Part(ConstMatrix x, PackedBatch::Rows rows) {
  return {x.row(rows.begin), rows.count(), x.columns, x.stride};
}

}  // namespace attnd
