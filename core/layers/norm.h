#pragma once

#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/layers/kernels.h"
#include "core/tensor/matrix.h"

namespace attnd {

// Normalisation of each row. Ba et al. 2016, "Layer Normalization"; without `bias` and with kRms,
// Zhang and Sennrich 2019, "Root Mean Square Layer Normalization".
class Norm {
 public:
  enum class Kind { kLayer, kRms };

  // `gain` and `bias` are [hidden]; kRms takes no bias.
  Norm(std::vector<float> gain, std::vector<float> bias, float epsilon)
      : kind_(Kind::kLayer), gain_(std::move(gain)), bias_(std::move(bias)), epsilon_(epsilon) {
    CHECK_THAT(gain_.size() == bias_.size());
  }
  static Norm Rms(std::vector<float> gain, float epsilon) { return Norm(std::move(gain), epsilon); }

  // y = norm(x), row by row; they may be the same matrix.
  void Run(ConstMatrix x, Matrix y) const {
    CHECK_THAT(x.columns == static_cast<int64_t>(gain_.size()));
    CHECK_THAT(y.columns == x.columns && y.rows == x.rows);
    for (int64_t row = 0; row < x.rows; ++row) {
      if (kind_ == Kind::kLayer) {
        kernels::LayerNorm(x.row(row), y.row(row), x.columns, gain_.data(), bias_.data(), epsilon_);
      } else {
        kernels::RmsNorm(x.row(row), y.row(row), x.columns, gain_.data(), epsilon_);
      }
    }
  }
  void Run(Matrix x) const { Run(x, x); }

 private:
  Norm(std::vector<float> gain, float epsilon)
      : kind_(Kind::kRms), gain_(std::move(gain)), epsilon_(epsilon) {}

  Kind kind_;
  std::vector<float> gain_, bias_;
  float epsilon_;
};

}  // namespace attnd
