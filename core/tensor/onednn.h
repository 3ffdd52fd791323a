#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

// What the engine needs of oneDNN, without its headers: only onednn*.cc see those, and they compile
// against 2.6 and 3.x. Every primitive here is immutable once made, may run on several threads at
// once, and takes its scratchpad from the caller.
namespace attnd::onednn {

// "2.6.3".
std::string Version();
// The instruction set that kernels are chosen for, ONEDNN_MAX_CPU_ISA included: "avx2",
// "avx512_core_bf16".
std::string Isa();
// True if our own kernels may use AVX-512 F, under the same limit.
bool HasAvx512();
// True if bfloat16 is multiplied by instructions for it (AVX-512 BF16), under the same limit.
bool HasBf16();
// Holds every primitive made or run on this thread to this thread. Per thread, so each worker calls
// it first: a team of spinning OpenMP threads costs up to 40x when another process wants a core.
void UseOneThread();

// The layout of packed weights: opaque, comparable.
class WeightsLayout {
 public:
  WeightsLayout();
  WeightsLayout(const WeightsLayout& other);
  WeightsLayout& operator=(const WeightsLayout& other);
  ~WeightsLayout();
  bool operator==(const WeightsLayout& other) const;
  size_t bytes() const;

 private:
  friend class Dense;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// What is done to each element as it is written.
enum class Epilogue { kNone, kGeluErf, kGeluTanh, kRelu, kSilu, kTanh, kAddToOutput };

// What a Dense multiplies.
enum class Operands {
  kF32,
  // x is uint8, W int8, and y the exact sums, rounded to f32; neither bias nor epilogue. Without
  // VNNI, pairs of products saturate at 16 bits: up to |w| = 64 none does, whatever x is.
  kU8S8,
  // x and W are bfloat16, the upper half of an f32; W is given to Pack in f32 and rounded there.
  // Sums, bias and y are f32.
  kBf16,
};

// The oneDNN primitive behind a Dense.
enum class DenseKind { kMatmul, kConvolution1x1 };

// y = epilogue(x W^T + bias) for a fixed number of rows: x [rows, in], W [out, in] packed, bias
// [out], y [rows, out], all dense. With kAddToOutput: y += x W^T + bias.
class Dense {
 public:
  struct Spec {
    DenseKind kind = DenseKind::kConvolution1x1;
    int64_t rows = 0;
    int64_t in = 0;
    int64_t out = 0;
    Epilogue epilogue = Epilogue::kNone;
    Operands operands = Operands::kF32;
    const WeightsLayout* layout =
        nullptr;  // Null: the one that oneDNN prefers for this number of rows.
  };
  // kUnimplemented if oneDNN has no kernel for it.
  static absl::StatusOr<Dense> Make(const Spec& spec);
  Dense(Dense&&) noexcept;
  Dense& operator=(Dense&&) noexcept;
  ~Dense();

  const WeightsLayout& layout() const;
  // oneDNN's name of the kernel: "jit_1x1:avx2".
  std::string_view implementation() const;
  size_t scratchpad_bytes() const;

  // Reorders `weights` [out, in] into `packed` (layout().bytes(), 64-byte aligned).
  void Pack(const void* weights, void* packed) const;
  // `x` and the weights are what the operands say; `bias` is null where there is none.
  void Run(const void* x, const void* packed, const float* bias, void* scratchpad, float* y) const;

 private:
  struct Impl;
  explicit Dense(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

// A [batch, rows, columns] view with a stride, in elements, for each dimension.
struct View3 {
  std::array<int64_t, 3> shape{};
  std::array<int64_t, 3> strides{};
};

// c = a b, batch by batch: a [batch, m, k], b [batch, k, n], c [batch, m, n]; strided views.
class Matmul {
 public:
  static absl::StatusOr<Matmul> Make(const View3& a, const View3& b, const View3& c);
  Matmul(Matmul&&) noexcept;
  Matmul& operator=(Matmul&&) noexcept;
  ~Matmul();

  std::string_view implementation() const;
  size_t scratchpad_bytes() const;
  void Run(const float* a, const float* b, float* c, void* scratchpad) const;

 private:
  struct Impl;
  explicit Matmul(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

// Softmax over the columns of dense [rows, columns]: e^(x - max) / sum, so finite rows stay finite.
// A -Inf beside finite numbers becomes 0.
struct SoftmaxSpec {
  int64_t rows = 0, columns = 0;
};
// An epilogue by itself, over a count of numbers. Not kNone, nor kAddToOutput.
struct ActivationSpec {
  Epilogue epilogue = Epilogue::kGeluErf;
  int64_t count = 0;
};

// What overwrites its input with its output.
class InPlace {
 public:
  static absl::StatusOr<InPlace> Make(const SoftmaxSpec& spec);
  static absl::StatusOr<InPlace> Make(const ActivationSpec& spec);
  InPlace(InPlace&&) noexcept;
  InPlace& operator=(InPlace&&) noexcept;
  ~InPlace();

  std::string_view implementation() const;
  size_t scratchpad_bytes() const;
  void Run(float* data, void* scratchpad) const;

 private:
  struct Impl;
  explicit InPlace(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace attnd::onednn
