#include "core/layers/linear.h"

#include <cstdint>
#include <utility>

#include "core/base/check.h"
#include "core/layers/kernels.h"
#include "core/layers/quantize.h"

namespace attnd {

Linear::Linear(const DenseKernels* kernels, std::span<const float> weight,
               std::span<const float> bias, std::span<const float> input_ranges)
    : kernels_(kernels),
      packed_(kernels->front().layout().bytes()),
      bias_(bias.begin(), bias.end()) {
  const auto& shape = kernels->shape();
  CHECK_THAT(static_cast<int64_t>(weight.size()) == shape.in * shape.out);
  CHECK_THAT(static_cast<int64_t>(bias.size()) == shape.out);
  if (shape.precision == Precision::kInt8) {
    PackInt8(weight, input_ranges);
  } else {
    kernels->front().Pack(weight.data(), packed_.data());
  }
}

void Linear::PackInt8(std::span<const float> weight, std::span<const float> input_ranges) {
  const int64_t in = kernels_->shape().in;
  std::vector<float> smooth(weight.begin(), weight.end());
  factors_.assign(static_cast<size_t>(in), 1.0f);
  if (!input_ranges.empty()) {
    CHECK_THAT(static_cast<int64_t>(input_ranges.size()) == in);
    const std::vector<float> factors = SmoothingFactors(weight, input_ranges);
    for (size_t i = 0; i < smooth.size(); ++i) smooth[i] *= factors[i % factors.size()];
    for (size_t i = 0; i < factors.size(); ++i) factors_[i] = 1 / factors[i];
  }
  QuantizedWeights quantized = QuantizeWeights(smooth, in, kernels_->int8_limits());
  scales_ = std::move(quantized.scales);
  totals_ = std::move(quantized.totals);
  kernels_->front().Pack(quantized.values.data(), packed_.data());
}

void Linear::Run(ConstMatrix x, Workspace& workspace, Matrix y) const {
  const auto& shape = kernels_->shape();
  CHECK_THAT(x.columns == shape.in && x.stride == shape.in);
  CHECK_THAT(y.columns == shape.out && y.stride == shape.out && y.rows == x.rows);
  CHECK_THAT(x.rows % kRowStep == 0);
  if (workspace.observer() != nullptr) workspace.observer()->Observe(this, x);
  if (shape.precision == Precision::kInt8) {
    RunInt8(x, workspace, y);
  } else {
    RunFloats(x, workspace, y);
  }
}

void Linear::RunFloats(ConstMatrix x, Workspace& workspace, Matrix y) const {
  const auto& shape = kernels_->shape();
  const bool rounds = shape.precision == Precision::kBf16;
  Workspace::Frame frame(workspace);
  void* scratchpad = frame.TakeBytes(kernels_->scratchpad_bytes());
  uint16_t* rounded = nullptr;
  if (rounds) {
    const auto count = static_cast<size_t>(kConvertedTileRows * shape.in);
    rounded = static_cast<uint16_t*>(frame.TakeBytes(count * sizeof(uint16_t)));
  }
  for (int64_t row = 0; row < x.rows;) {
    const DenseKernels::Kernel& kernel = kernels_->Largest(x.rows - row);
    const void* operand = x.row(row);
    if (rounds) {
      kernels::RoundToBf16(x.row(row), rounded, kernel.rows * shape.in);
      operand = rounded;
    }
    kernel.dense.Run(operand, packed_.data(), bias_.data(), scratchpad, y.row(row));
    row += kernel.rows;
  }
}

void Linear::RunInt8(ConstMatrix x, Workspace& workspace, Matrix y) const {
  const auto& shape = kernels_->shape();
  const bool adds = shape.epilogue == onednn::Epilogue::kAddToOutput;
  Workspace::Frame frame(workspace);
  void* scratchpad = frame.TakeBytes(kernels_->scratchpad_bytes());
  auto* quantized =
      static_cast<uint8_t*>(frame.TakeBytes(static_cast<size_t>(kConvertedTileRows * shape.in)));
  auto* rows = static_cast<QuantizedRow*>(
      frame.TakeBytes(static_cast<size_t>(kConvertedTileRows) * sizeof(QuantizedRow)));
  float* sums = adds ? frame.TakeFloats(kConvertedTileRows * shape.out) : nullptr;
  for (int64_t first = 0; first < x.rows;) {
    const DenseKernels::Kernel& kernel = kernels_->Largest(x.rows - first);
    for (int64_t i = 0; i < kernel.rows; ++i) {
      kernels::Quantize(x.row(first + i), factors_.data(), quantized + i * shape.in, shape.in,
                        &rows[i].scale, &rows[i].low);
    }
    float* to = adds ? sums : y.row(first);
    kernel.dense.Run(quantized, packed_.data(), nullptr, scratchpad, to);
    const auto scale = adds ? kernels::ScaleSumsAndAdd : kernels::ScaleSums;
    for (int64_t i = 0; i < kernel.rows; ++i) {
      scale(to + i * shape.out, y.row(first + i), shape.out, scales_.data(), totals_.data(),
            bias_.data(), rows[i].scale, rows[i].low);
    }
    if (kernel.activation) kernel.activation->Run(y.row(first), scratchpad);
    first += kernel.rows;
  }
}

}  // namespace attnd
