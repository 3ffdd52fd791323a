#pragma once

#include <span>
#include <vector>

#include "core/layers/dense_kernels.h"
#include "core/tensor/aligned_buffer.h"
#include "core/tensor/matrix.h"
#include "core/tensor/workspace.h"

namespace attnd {

// y = epilogue(x W^T + bias), the weights packed once. Immutable; any number of workers may Run it,
// each with its own Workspace. The answer for a row depends on that row alone, bit for bit.
class Linear {
 public:
  // `weight` is [out, in] as checkpoints have it, `bias` [out]. `kernels` must outlive this.
  Linear(const DenseKernels* kernels, std::span<const float> weight, std::span<const float> bias);

  int64_t out() const { return kernels_->shape().out; }
  const DenseKernels& kernels() const { return *kernels_; }
  size_t bytes() const { return packed_.bytes() + bias_.size() * sizeof(float); }

  // x [rows, in] and y [rows, out], dense, rows a multiple of kRowStep; they must not overlap.
  void Run(ConstMatrix x, Workspace& workspace, Matrix y) const;

 private:
  const DenseKernels* kernels_;
  AlignedBuffer packed_;
  std::vector<float> bias_;
};

}  // namespace attnd
