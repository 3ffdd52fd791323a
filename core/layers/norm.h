#pragma once

#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/layers/kernels.h"
#include "core/tensor/matrix.h"

namespace attnd {

// Layer normalisation of each row, in place. Ba et al. 2016, "Layer Normalization".
class Norm {
 public:
  // `gain` and `bias` are [hidden].
  Norm(std::vector<float> gain, std::vector<float> bias, float epsilon)
      : gain_(std::move(gain)), bias_(std::move(bias)), epsilon_(epsilon) {
    CHECK_THAT(gain_.size() == bias_.size());
  }

  void Run(Matrix x) const {
    CHECK_THAT(x.columns == static_cast<int64_t>(gain_.size()));
    for (int64_t row = 0; row < x.rows; ++row) {
      kernels::LayerNorm(x.row(row), x.columns, gain_.data(), bias_.data(), epsilon_);
    }
  }

 private:
  std::vector<float> gain_, bias_;
  float epsilon_;
};

}  // namespace attnd
