#include "tests/support/tensor_maker.h"

#include <bit>

#include "tests/support/bytes.h"

namespace attnd::testing {
namespace {

// Upper half of the bits of a float, cut: any BF16 value will do.
uint16_t ToBF16(float value) { return static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16); }

// For normal values of F16 only: sign, exponent moved by 112, mantissa cut.
uint16_t ToF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t exponent = (bits >> 23) & 0xff;
  const uint32_t magnitude = exponent < 113 ? 0 : ((exponent - 112) << 10) | ((bits >> 13) & 0x3ff);
  return static_cast<uint16_t>(((bits >> 16) & 0x8000) | magnitude);
}

}  // namespace

void TensorMaker::Add(const std::string& name, std::vector<int64_t> shape, float center) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  RawTensor tensor{name, dtype_, std::move(shape), {}};
  for (int64_t i = 0; i < count; ++i) {
    // 24 bits, so that every platform draws the same numbers; between -0.25 and 0.25.
    const float value = center + static_cast<float>(random_() >> 8) * 0x1p-25f - 0.25f;
    if (dtype_ == "F16") {
      Append(tensor.bytes, ToF16(value));
    } else if (dtype_ == "BF16") {
      Append(tensor.bytes, ToBF16(value));
    } else {
      Append(tensor.bytes, value);
    }
  }
  tensors_.push_back(std::move(tensor));
}

void TensorMaker::AddDense(const std::string& name, int64_t out, int64_t in) {
  Add(name + ".weight", {out, in});
  Add(name + ".bias", {out});
}

void TensorMaker::AddNorm(const std::string& name, int64_t size) {
  AddScale(name, size);
  Add(name + ".bias", {size});
}

void TensorMaker::AddScale(const std::string& name, int64_t size) {
  Add(name + ".weight", {size}, 1);
}

}  // namespace attnd::testing
