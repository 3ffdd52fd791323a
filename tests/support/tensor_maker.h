#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/tiny_model.h"

namespace attnd::testing {

// Makes named tensors of random numbers, all of one stored type.
class TensorMaker {
 public:
  // `dtype` is F32, F16 or BF16. The numbers depend on `seed` and on what was added before.
  TensorMaker(std::string dtype, uint32_t seed) : dtype_(std::move(dtype)), random_(seed) {}

  // Numbers around `center`, at most 0.25 away.
  void Add(const std::string& name, std::vector<int64_t> shape, float center = 0);
  // A dense layer, [out, in], and its bias.
  void AddDense(const std::string& name, int64_t out, int64_t in);
  // A norm's weight and bias; or its weight alone.
  void AddNorm(const std::string& name, int64_t size);
  void AddScale(const std::string& name, int64_t size);

  std::vector<RawTensor> Take() { return std::move(tensors_); }

 private:
  const std::string dtype_;
  std::mt19937 random_;
  std::vector<RawTensor> tensors_;
};

}  // namespace attnd::testing
