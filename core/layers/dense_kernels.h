#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/mutex.h"
#include "core/layers/quantize.h"
#include "core/tensor/onednn.h"

namespace attnd {

// Every matrix that a Linear reads or writes has a multiple of this many rows; those past the last
// token are zero or whatever follows from zero. The convolution kernels reach their speed from 8
// rows up.
inline constexpr int64_t kRowStep = 8;
inline constexpr int64_t RoundUpRows(int64_t rows) {
  return (rows + kRowStep - 1) / kRowStep * kRowStep;
}

// The row counts that may have a primitive. A Linear takes any number of rows as a sum of these,
// largest first; the bits of a row do not depend on which one computes it, and that is checked when
// they are made.
inline constexpr std::array<int64_t, 12> kRowCounts = {8,  16,  24,  32,  48,  64,
                                                       96, 128, 192, 256, 384, 512};

// What a dense layer's products are computed in.
enum class Precision {
  kF32,
  // Weights in 8 bits, a scale for each output; each input row in 8 bits, with a scale and an
  // offset of its own, so that a row's answer does not depend on its neighbours. Sums are exact.
  kInt8,
  // Weights and inputs rounded to bfloat16, sums in f32. Of CPUs with instructions for it alone.
  kBf16,
};

// "f32", "int8", "bf16".
std::string_view NameOf(Precision precision);
std::optional<Precision> ParsePrecision(std::string_view name);
// kUnimplemented if this CPU lacks the instructions for it.
absl::Status CheckComputed(Precision precision);

// How a row was quantized: x = low + scale * q.
struct QuantizedRow {
  float scale, low;
};
// Rows that a layer in another precision than f32 converts and multiplies at a time, while they are
// in the cache.
inline constexpr int64_t kConvertedTileRows = 64;

class DenseProbe;

// The primitives of one shape of dense layer, one for each of kRowCounts, over one packed copy of
// the weights.
//
// Which oneDNN primitive serves is decided by what it does here, not by version or CPU: of matmul
// and 1x1 convolution the first that, at 8 rows and at as many of the other row counts as possible,
// has a kernel over prepacked weights ("brg", "jit_1x1", "jit_bf16_1x1", "jit_int8_1x1"; never
// "gemm", which packs at each call, nor "ref", which is over 100 times slower), takes one layout,
// and gives probe rows the same bits at every place and row count. core/DESIGN.md has the
// measurements behind it. In int8, sums must be exact too, which holds within limits that are found
// by trying (Int8Limits).
class DenseKernels {
 public:
  struct Shape {
    int64_t in = 0;
    int64_t out = 0;
    onednn::Epilogue epilogue = onednn::Epilogue::kNone;
    Precision precision = Precision::kF32;
    // clang-tidy 14 takes the 0 that the comparison brings along for a pointer.
    auto operator<=>(const Shape&) const = default;  // NOLINT(modernize-use-nullptr)
  };
  // kUnimplemented, with what was tried and why it was turned down, if neither serves; that is so
  // for kBf16 on a CPU without it.
  static absl::StatusOr<std::unique_ptr<const DenseKernels>> Choose(const Shape& shape);

  const Shape& shape() const { return shape_; }
  const onednn::Dense& front() const { return kernels_.front().dense; }
  // The kernel for the largest row count that is not above `rows`, and that count.
  struct Kernel {
    int64_t rows;
    onednn::Dense dense;
    std::optional<onednn::InPlace> activation;  // In int8, where the epilogue is one.
  };
  const Kernel& Largest(int64_t rows) const;
  size_t scratchpad_bytes() const { return scratchpad_bytes_; }
  // What a Linear takes of its workspace, that included.
  size_t workspace_bytes() const;
  // In int8: what weights must keep to.
  const Int8Limits& int8_limits() const { return int8_limits_; }
  // oneDNN's name for it, and why it was chosen.
  std::string implementation() const { return std::string(front().implementation()); }
  const std::string& reason() const { return reason_; }

 private:
  class Maker;
  DenseKernels(const Shape& shape, std::vector<Kernel> kernels);
  static absl::StatusOr<std::unique_ptr<DenseKernels>> Choose(const Shape& shape,
                                                              DenseProbe& probe);
  absl::Status AddActivations();

  Shape shape_;
  std::vector<Kernel> kernels_;  // By rising row count; the first has kRowStep rows.
  size_t scratchpad_bytes_ = 0;
  Int8Limits int8_limits_;
  std::string reason_;
};

// The kernels of a model: layers of one shape share them. Pointers stay valid as long as this does.
// Thread-safe.
class DenseKernelCache {
 public:
  absl::StatusOr<const DenseKernels*> Get(const DenseKernels::Shape& shape);
  // The most that any takes of a workspace.
  size_t workspace_bytes() const;

 private:
  mutable Mutex mutex_;
  std::map<DenseKernels::Shape, std::unique_ptr<const DenseKernels>> kernels_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace attnd
