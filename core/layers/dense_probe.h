#pragma once

#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "core/layers/dense_kernels.h"

namespace attnd {

// Finds out by trying whether kernels of one shape give what a Linear promises: the bits of a row
// depend on neither its place nor the row count.
class DenseProbe {
 public:
  // A kernel over the probe's weights: y [rows, out] of x [rows, in] (see onednn::Operands) and of
  // the bias, null for int8. y holds what an epilogue may add to.
  using Run = absl::FunctionRef<void(const void* x, const float* bias, float* y)>;

  // f32 and bf16.
  static std::unique_ptr<DenseProbe> ForFloats(const DenseKernels::Shape& shape);
  // More: that the sums are exact, with weights that keep to the limits and whatever x.
  static std::unique_ptr<DenseProbe> ForInt8(const DenseKernels::Shape& shape,
                                             const Int8Limits& limits);
  virtual ~DenseProbe() = default;

  // [out, in], what onednn::Dense::Pack takes.
  virtual const void* weights() const = 0;
  // Before the kernels of another layout. In floats, the first kernel that is accepted says what
  // the bits are.
  virtual void Restart() = 0;
  virtual bool Accepts(int64_t rows, Run run) = 0;
};

}  // namespace attnd
