#pragma once

#include <span>
#include <vector>

#include "core/layers/dense_kernels.h"
#include "core/tensor/aligned_buffer.h"
#include "core/tensor/matrix.h"
#include "core/tensor/workspace.h"

namespace attnd {

// y = epilogue(x W^T + bias), the weights packed once. Immutable; any number of workers may Run it,
// each with its own Workspace. The answer for a row depends on that row alone, bit for bit,
// whatever the precision.
class Linear {
 public:
  // `weight` is [out, in] as checkpoints have it, `bias` [out]. `kernels` must outlive this.
  // `input_ranges` [in], for int8 alone, are the largest magnitudes that x is expected to have, by
  // which its channels are balanced (SmoothingFactors); empty: they are left as they are.
  Linear(const DenseKernels* kernels, std::span<const float> weight, std::span<const float> bias,
         std::span<const float> input_ranges = {});

  int64_t out() const { return kernels_->shape().out; }
  const DenseKernels& kernels() const { return *kernels_; }
  size_t bytes() const {
    return packed_.bytes() +
           (bias_.size() + factors_.size() + scales_.size() + totals_.size()) * sizeof(float);
  }

  // x [rows, in] and y [rows, out], dense, rows a multiple of kRowStep; they must not overlap.
  void Run(ConstMatrix x, Workspace& workspace, Matrix y) const;

 private:
  // In f32 and bf16.
  void RunFloats(ConstMatrix x, Workspace& workspace, Matrix y) const;
  // W = scales[output] * Q with integers Q, and x = low + scale * q, row by row, once x is
  // multiplied by factors that W is divided by. So x W^T = scales * (scale * (q Q^T) + low * sum of
  // Q): one product of integers, the rest is linear in it. Jacob et al. 2018, "Quantization and
  // Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", section 2.3.
  void RunInt8(ConstMatrix x, Workspace& workspace, Matrix y) const;
  void PackInt8(std::span<const float> weight, std::span<const float> input_ranges);

  const DenseKernels* kernels_;
  AlignedBuffer packed_;
  std::vector<float> bias_;
  // In int8: by input, what x is multiplied by; by output, the scale, and the scale times the sum
  // of Q.
  std::vector<float> factors_, scales_, totals_;
};

}  // namespace attnd
