#include "core/layers/linear.h"

#include "core/base/check.h"

namespace attnd {

Linear::Linear(const DenseKernels* kernels, std::span<const float> weight,
               std::span<const float> bias)
    : kernels_(kernels),
      packed_(kernels->front().layout().bytes()),
      bias_(bias.begin(), bias.end()) {
  const auto& shape = kernels->shape();
  CHECK_THAT(static_cast<int64_t>(weight.size()) == shape.in * shape.out);
  CHECK_THAT(static_cast<int64_t>(bias.size()) == shape.out);
  kernels->front().Pack(weight.data(), packed_.data());
}

void Linear::Run(ConstMatrix x, Workspace& workspace, Matrix y) const {
  const auto& shape = kernels_->shape();
  CHECK_THAT(x.columns == shape.in && x.stride == shape.in);
  CHECK_THAT(y.columns == shape.out && y.stride == shape.out && y.rows == x.rows);
  CHECK_THAT(x.rows % kRowStep == 0);
  Workspace::Frame frame(workspace);
  void* scratchpad = frame.TakeBytes(kernels_->scratchpad_bytes());
  for (int64_t row = 0; row < x.rows;) {
    const auto [kernel, rows] = kernels_->Largest(x.rows - row);
    kernel.Run(x.row(row), packed_.data(), bias_.data(), scratchpad, y.row(row));
    row += rows;
  }
}

}  // namespace attnd
