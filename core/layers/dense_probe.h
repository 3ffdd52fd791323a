#pragma once

#include <cstdint>
#include <memory>

#include "core/layers/dense_kernels.h"

namespace attnd {

// Finds out by trying whether kernels of one shape give what a Linear promises: the bits of a row
// depend on neither its place nor the row count.
class DenseProbe {
 public:
  // f32 and bf16.
  static std::unique_ptr<DenseProbe> ForFloats(const DenseKernels::Shape& shape);
  // More: that the sums are exact, with weights that keep to the limits and whatever x.
  static std::unique_ptr<DenseProbe> ForInt8(const DenseKernels::Shape& shape,
                                             const Int8Limits& limits);
  virtual ~DenseProbe() = default;

  // Packs the probe's weights. In floats, what runs next on `packed` says what the bits are.
  virtual void Pack(const onednn::Dense& kernel, void* packed) = 0;
  virtual bool Accepts(const onednn::Dense& kernel, int64_t rows, const void* packed) = 0;
};

}  // namespace attnd
