#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/layers/linear.h"
#include "core/tensor/onednn.h"
#include "gtest/gtest.h"
#include "tests/layers/random_values.h"

namespace attnd {

// What an epilogue makes of a value; `before` is what stood there.
inline double Apply(onednn::Epilogue epilogue, double value, double before) {
  switch (epilogue) {
    case onednn::Epilogue::kNone:
      return value;
    case onednn::Epilogue::kGeluErf:
      return 0.5 * value * (1 + std::erf(value / std::sqrt(2.0)));
    case onednn::Epilogue::kGeluTanh:
      return 0.5 * value *
             (1 + std::tanh(std::sqrt(2 / M_PI) * (value + 0.044715 * value * value * value)));
    case onednn::Epilogue::kRelu:
      return std::max(value, 0.0);
    case onednn::Epilogue::kSilu:
      return value / (1 + std::exp(-value));
    case onednn::Epilogue::kTanh:
      return std::tanh(value);
    case onednn::Epilogue::kAddToOutput:
      return value + before;
  }
  return std::nan("");
}

struct LinearCase {
  int64_t in, out;
  onednn::Epilogue epilogue;
};

// That a row has the same bits at the first, a middle and the last place of each row count. `run`
// is given x and what stands in y before, and returns y.
inline void ExpectSameBitsAtEveryPlace(
    int64_t in, int64_t out, const std::vector<int64_t>& row_counts,
    const std::function<std::vector<float>(const std::vector<float>&, const std::vector<float>&)>&
        run) {
  const std::vector<float> probe = RandomFloats(in, 5);
  std::vector<float> expected;
  for (const int64_t rows : row_counts) {
    for (const int64_t place : {int64_t{0}, rows / 3, rows - 1}) {
      std::vector<float> x = RandomFloats(rows * in, static_cast<uint32_t>(rows));
      std::copy(probe.begin(), probe.end(), x.begin() + place * in);
      const std::vector<float> y = run(x, std::vector<float>(rows * out, 0.25f));
      const std::vector<float> row(y.begin() + place * out, y.begin() + (place + 1) * out);
      if (expected.empty()) expected = row;
      ASSERT_EQ(std::memcmp(row.data(), expected.data(), row.size() * sizeof(float)), 0)
          << rows << " rows, place " << place;
    }
  }
}

// A Linear of the case in one precision, and what is run on it.
class LinearFixture : public ::testing::TestWithParam<LinearCase> {
 protected:
  explicit LinearFixture(size_t workspace_bytes) : workspace_(workspace_bytes) {
    onednn::UseOneThread();
  }

  // Makes linear_ of these kernels and random bias.
  void Make(const DenseKernels* kernels, std::vector<float> weight,
            std::span<const float> input_ranges = {}) {
    weight_ = std::move(weight);
    bias_ = RandomFloats(GetParam().out, 2);
    linear_.emplace(kernels, weight_, bias_, input_ranges);
    workspace_.Poison();
  }

  std::vector<float> Run(const std::vector<float>& x, std::vector<float> y) {
    const auto [in, out, epilogue] = GetParam();
    const int64_t rows = static_cast<int64_t>(x.size()) / in;
    linear_->Run({x.data(), rows, in, in}, workspace_, {y.data(), rows, out, out});
    return y;
  }

  // At every row count up to `rows_max`.
  void ExpectSameBitsUpTo(int64_t rows_max) {
    std::vector<int64_t> counts;
    for (int64_t rows = kRowStep; rows <= rows_max; rows += kRowStep) counts.push_back(rows);
    ExpectSameBitsAtEveryPlace(GetParam().in, GetParam().out, counts,
                               [&](const auto& x, const auto& y) { return Run(x, y); });
  }

  DenseKernelCache cache_;
  Workspace workspace_;
  std::vector<float> weight_, bias_;
  std::optional<Linear> linear_;
};

}  // namespace attnd
