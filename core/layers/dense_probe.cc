#include "core/layers/dense_probe.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include "core/layers/kernels.h"

namespace attnd {
namespace {

// Of magnitudes from 2^-16 to 1, so that even sums of bfloat16 products, which are exact, round
// about every other time, and another order of adding shows.
std::vector<float> RandomFloats(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float& value : values) {
    const auto bits = static_cast<uint32_t>(random());
    const uint32_t sign = bits & 0x80000000U, exponent = 126 - (bits & 15);
    value = std::bit_cast<float>(sign | exponent << 23 | (bits >> 8 & 0x7fffffU));
  }
  return values;
}

bool Equal(const float* a, const float* b, int64_t count) {
  return std::memcmp(a, b, static_cast<size_t>(count) * sizeof(float)) == 0;
}

// Fills each row count with the same few random rows, over and over, and compares the bits of every
// one with what the first kernel made of it. Their number has no divisor in common with the row
// counts, so that each comes to stand at many places.
class FloatProbe : public DenseProbe {
 public:
  explicit FloatProbe(const DenseKernels::Shape& shape)
      : in_(shape.in),
        out_(shape.out),
        rounded_(shape.precision == Precision::kBf16),
        weights_(RandomFloats(static_cast<size_t>(in_ * out_), 1)),
        bias_(RandomFloats(static_cast<size_t>(out_), 2)),
        rows_(RandomFloats(static_cast<size_t>(kRows * in_), 3)) {}

  const void* weights() const override { return weights_.data(); }
  void Restart() override { expected_.clear(); }

  bool Accepts(int64_t rows, Run run) override {
    // In the fewest rows, most come to stand at a second place only if they begin with another.
    return AcceptsFrom(0, rows, run) && (rows >= 2 * kRows || AcceptsFrom(3, rows, run));
  }

 private:
  static constexpr int64_t kRows = 7;
  static_assert(kRows < kRowStep);

  // The rows in turn, beginning with the one of that index.
  bool AcceptsFrom(int64_t begin, int64_t rows, Run run) {
    std::vector<float> x;
    for (int64_t place = 0; place < rows; ++place) {
      const auto row = rows_.begin() + (begin + place) % kRows * in_;
      x.insert(x.end(), row, row + in_);
    }
    // Not zero, so that an epilogue which adds to the output has something to add to.
    std::vector<float> y(static_cast<size_t>(rows * out_), 0.5f);
    std::vector<uint16_t> rounded(rounded_ ? x.size() : 0);
    kernels::RoundToBf16(x.data(), rounded.data(), static_cast<long>(rounded.size()));
    run(rounded_ ? static_cast<const void*>(rounded.data()) : x.data(), bias_.data(), y.data());
    if (expected_.empty()) expected_.assign(y.begin(), y.begin() + kRows * out_);
    bool equal = true;
    for (int64_t place = 0; place < rows; ++place) {
      const float* expected = expected_.data() + (begin + place) % kRows * out_;
      equal &= Equal(y.data() + place * out_, expected, out_);
    }
    return equal;
  }

  int64_t in_, out_;
  bool rounded_;  // To bfloat16.
  std::vector<float> weights_, bias_, rows_;
  std::vector<float> expected_;
};

// The last row is random numbers, all others are the largest. The weights are pairs that go to the
// limits, each kind in outputs of its own, and all kinds in others.
class Int8Probe : public DenseProbe {
 public:
  Int8Probe(const DenseKernels::Shape& shape, const Int8Limits& limits)
      : in_(shape.in), out_(shape.out), last_(static_cast<size_t>(in_)) {
    std::mt19937 random(1);
    for (int64_t output = 0; output < out_; ++output) {
      for (int64_t i = 0; i < in_; i += 2) {
        // The fifth output's, of all kinds, would show pairs that are not (0, 1), (2, 3).
        const int64_t kind = output % 5 == 4 ? static_cast<int64_t>(random() % 4) : output % 5;
        const auto [a, b] = PairOf(kind, limits);
        weights_.push_back(static_cast<int8_t>(a));
        if (i + 1 < in_) weights_.push_back(static_cast<int8_t>(b));
      }
    }
    for (uint8_t& value : last_) value = static_cast<uint8_t>(random());
    largest_sums_ = SumsOf(std::vector<uint8_t>(static_cast<size_t>(in_), 255));
    last_sums_ = SumsOf(last_);
  }

  const void* weights() const override { return weights_.data(); }
  void Restart() override {}

  bool Accepts(int64_t rows, Run run) override {
    std::vector<uint8_t> x(static_cast<size_t>(rows * in_), 255);
    std::copy(last_.begin(), last_.end(), x.end() - in_);
    std::vector<float> y(static_cast<size_t>(rows * out_));
    run(x.data(), nullptr, y.data());
    bool equal = Equal(y.data() + (rows - 1) * out_, last_sums_.data(), out_);
    for (int64_t row = 0; row + 1 < rows; ++row) {
      equal &= Equal(y.data() + row * out_, largest_sums_.data(), out_);
    }
    return equal;
  }

 private:
  static std::pair<int, int> PairOf(int64_t kind, const Int8Limits& limits) {
    const int rest = limits.pair - limits.weight;
    switch (kind) {
      case 0:
        return {limits.pair / 2, limits.pair / 2};
      case 1:
        return {-limits.weight, -rest};
      case 2:
        return {rest, limits.weight};
      default:
        return {limits.weight, -limits.weight};
    }
  }

  std::vector<float> SumsOf(const std::vector<uint8_t>& row) const {
    std::vector<float> sums;
    for (int64_t output = 0; output < out_; ++output) {
      int32_t sum = 0;
      for (int64_t i = 0; i < in_; ++i) {
        sum += row[static_cast<size_t>(i)] * weights_[static_cast<size_t>(output * in_ + i)];
      }
      sums.push_back(static_cast<float>(sum));
    }
    return sums;
  }

  int64_t in_, out_;
  std::vector<int8_t> weights_;
  std::vector<uint8_t> last_;
  std::vector<float> largest_sums_, last_sums_;
};

}  // namespace

std::unique_ptr<DenseProbe> DenseProbe::ForFloats(const DenseKernels::Shape& shape) {
  return std::make_unique<FloatProbe>(shape);
}

std::unique_ptr<DenseProbe> DenseProbe::ForInt8(const DenseKernels::Shape& shape,
                                                const Int8Limits& limits) {
  return std::make_unique<Int8Probe>(shape, limits);
}

}  // namespace attnd
