#include "core/layers/dense_kernels.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/layers/dense_probe.h"
#include "core/tensor/aligned_buffer.h"

namespace attnd {
namespace {

using onednn::Dense;
using onednn::DenseKind;

// The row counts whose preferred layout is tried, in this order. That of 16 rows is mostly taken by
// all the others; oneDNN 3.7.2 on AVX2 has shapes where it is not (64 -> 64, 128 -> 128), and
// shapes that fall to reference code at 512 rows (768 -> 768).
constexpr int64_t kLayoutRows[] = {16, 8, 32, 64, 128};

// The finest first. 255 * 128 is below 2^15, in which pairs of products are added without VNNI.
constexpr Int8Limits kInt8Limits[] = {
    {.weight = 127, .pair = 254}, {.weight = 127, .pair = 128}, {.weight = 64, .pair = 128}};
constexpr size_t kAlignment = 64;  // Of what a workspace hands out.

std::string_view Name(DenseKind kind) {
  return kind == DenseKind::kMatmul ? "matmul" : "1x1 convolution";
}

bool IsPrepacked(std::string_view implementation) {
  return implementation.starts_with("brg") || implementation.starts_with("jit_1x1") ||
         implementation.starts_with("jit_bf16_1x1") || implementation.starts_with("jit_int8_1x1") ||
         implementation.starts_with("jit_uni_int8_1x1");
}

}  // namespace

std::string_view NameOf(Precision precision) {
  switch (precision) {
    case Precision::kF32:
      return "f32";
    case Precision::kInt8:
      return "int8";
    case Precision::kBf16:
      return "bf16";
  }
  CHECK_THAT(false);
}

std::optional<Precision> ParsePrecision(std::string_view name) {
  for (const Precision precision : {Precision::kF32, Precision::kInt8, Precision::kBf16}) {
    if (name == NameOf(precision)) return precision;
  }
  return std::nullopt;
}

absl::Status CheckComputed(Precision precision) {
  // Some CPUs without these instructions would compute it in more steps than f32.
  if (precision != Precision::kBf16 || onednn::HasBf16()) return absl::OkStatus();
  return absl::UnimplementedError(
      StrCat("bf16 needs AVX-512 BF16 instructions; what may be used here is ", onednn::Isa()));
}

// Makes the kernels of one kind.
class DenseKernels::Maker {
 public:
  // `probe` must outlive this; its weights serve every layout of both kinds.
  Maker(DenseKind kind, const Shape& shape, DenseProbe& probe)
      : spec_{.kind = kind, .in = shape.in, .out = shape.out}, probe_(probe), shape_(shape) {
    if (shape.precision != Precision::kF32) rows_max_ = kConvertedTileRows;
    if (shape.precision == Precision::kBf16) spec_.operands = onednn::Operands::kBf16;
    if (shape.precision == Precision::kInt8) {
      spec_.operands = onednn::Operands::kU8S8;
    } else {
      spec_.epilogue = shape.epilogue;
    }
  }

  // The kernels of the layout that serves most row counts, or why none serves kRowStep rows.
  absl::StatusOr<std::vector<Kernel>> Make() {
    std::vector<Kernel> best;
    for (const int64_t rows : kLayoutRows) {
      spec_.rows = rows;
      spec_.layout = nullptr;
      ASSIGN_OR_RETURN(const Dense preferred, Dense::Make(spec_));
      spec_.layout = &preferred.layout();
      std::vector<Kernel> kernels = MakeForLayout();
      if (kernels.size() > best.size()) best = std::move(kernels);
      // No layout makes sums exact that are not.
      if (best.size() == CountRowCounts() || inexact_) break;
    }
    if (best.empty()) return absl::UnimplementedError(refused_);
    return best;
  }

  // How many row counts there are to serve.
  size_t CountRowCounts() const {
    return static_cast<size_t>(std::upper_bound(kRowCounts.begin(), kRowCounts.end(), rows_max_) -
                               kRowCounts.begin());
  }

 private:
  std::vector<Kernel> MakeForLayout() {
    std::vector<Kernel> kernels;
    AlignedBuffer packed;
    for (const int64_t rows : kRowCounts) {
      if (rows > rows_max_) break;
      spec_.rows = rows;
      absl::StatusOr<Dense> dense = Dense::Make(spec_);
      if (!dense.ok()) {
        refused_ = std::string(dense.status().message());
      } else if (!IsPrepacked(dense->implementation())) {
        refused_ = StrCat(dense->implementation(), " at ", rows, " rows is no prepacked kernel");
      } else if (!kernels.empty() && !AddsAlike(*dense, kernels.front().dense)) {
        refused_ =
            StrCat(dense->implementation(), " at ", rows, " rows may add in an order of its own");
      } else {
        if (kernels.empty()) {
          packed = AlignedBuffer(dense->layout().bytes());
          dense->Pack(probe_.weights(), packed.data());
          probe_.Restart();
        }
        if (Accepts(*dense, rows, packed.data())) {
          kernels.push_back({rows, *std::move(dense), std::nullopt});
          continue;
        }
        inexact_ = shape_.precision == Precision::kInt8;
        refused_ =
            StrCat(inexact_ ? "sums are not exact at " : "a row's bits differ at ", rows, " rows");
      }
      // Without the smallest there are row counts that no sum makes.
      if (rows == kRowStep) return {};
    }
    return kernels;
  }

  bool Accepts(const Dense& dense, int64_t rows, const void* packed) {
    AlignedBuffer scratchpad(dense.scratchpad_bytes());
    return probe_.Accepts(rows, [&](const void* x, const float* bias, float* y) {
      dense.Run(x, packed, bias, scratchpad.data(), y);
    });
  }

  // What oneDNN calls by two names has two ways to add, which a probe may miss where few numbers
  // are added: on AMX it hands bfloat16 layers of few rows and outputs to AVX-512. Exact sums are
  // the same in any order.
  bool AddsAlike(const Dense& a, const Dense& b) const {
    return shape_.precision == Precision::kInt8 || a.implementation() == b.implementation();
  }

  Dense::Spec spec_;
  DenseProbe& probe_;
  Shape shape_;
  int64_t rows_max_ = kRowCounts.back();
  std::string refused_;
  bool inexact_ = false;
};

absl::StatusOr<std::unique_ptr<const DenseKernels>> DenseKernels::Choose(const Shape& shape) {
  RETURN_IF_ERROR(CheckComputed(shape.precision));
  if (shape.precision != Precision::kInt8) return Choose(shape, *DenseProbe::ForFloats(shape));
  absl::Status refused;
  for (const Int8Limits& limits : kInt8Limits) {
    // Sums have 32 bits.
    if (int64_t{255} * (limits.pair / 2) * shape.in > INT32_MAX) continue;
    auto kernels = Choose(shape, *DenseProbe::ForInt8(shape, limits));
    if (kernels.ok()) {
      (*kernels)->int8_limits_ = limits;
      (*kernels)->reason_ += StrCat(", exact sums with weights up to ", limits.weight, " and ",
                                    limits.pair, " for two of one sign");
      RETURN_IF_ERROR((*kernels)->AddActivations());
      return kernels;
    }
    refused = kernels.status();
  }
  return refused;
}

absl::StatusOr<std::unique_ptr<DenseKernels>> DenseKernels::Choose(const Shape& shape,
                                                                   DenseProbe& probe) {
  std::string turned_down;
  for (const DenseKind kind : {DenseKind::kMatmul, DenseKind::kConvolution1x1}) {
    Maker maker(kind, shape, probe);
    absl::StatusOr<std::vector<Kernel>> made = maker.Make();
    if (!made.ok()) {
      turned_down += StrCat(Name(kind), ": ", made.status().message(), "; ");
      continue;
    }
    const size_t count = made->size();
    std::unique_ptr<DenseKernels> kernels(new DenseKernels(shape, *std::move(made)));
    kernels->reason_ = StrCat(turned_down, Name(kind), ": prepacked, one layout and equal bits at ",
                              count, " of ", maker.CountRowCounts(), " row counts");
    return kernels;
  }
  return absl::UnimplementedError(StrCat("no kernel for a dense layer ", shape.in, " -> ",
                                         shape.out, " on ", onednn::Isa(), ": ", turned_down));
}

DenseKernels::DenseKernels(const Shape& shape, std::vector<Kernel> kernels)
    : shape_(shape), kernels_(std::move(kernels)) {
  for (const Kernel& kernel : kernels_) {
    scratchpad_bytes_ = std::max(scratchpad_bytes_, kernel.dense.scratchpad_bytes());
  }
}

// An activation is no epilogue of sums of integers: it comes behind their scaling.
absl::Status DenseKernels::AddActivations() {
  if (shape_.epilogue == onednn::Epilogue::kNone ||
      shape_.epilogue == onednn::Epilogue::kAddToOutput) {
    return absl::OkStatus();
  }
  for (Kernel& kernel : kernels_) {
    ASSIGN_OR_RETURN(kernel.activation, onednn::InPlace::Make(onednn::ActivationSpec{
                                            shape_.epilogue, kernel.rows * shape_.out}));
    if (!kernel.activation->implementation().starts_with("jit")) {
      return absl::UnimplementedError(StrCat("no fast activation on ", onednn::Isa(), ": ",
                                             kernel.activation->implementation()));
    }
    scratchpad_bytes_ = std::max(scratchpad_bytes_, kernel.activation->scratchpad_bytes());
  }
  return absl::OkStatus();
}

const DenseKernels::Kernel& DenseKernels::Largest(int64_t rows) const {
  CHECK_THAT(rows >= kRowStep);
  size_t index = kernels_.size() - 1;
  while (kernels_[index].rows > rows) --index;
  return kernels_[index];
}

size_t DenseKernels::workspace_bytes() const {
  if (shape_.precision == Precision::kF32) return scratchpad_bytes_;
  const auto rows = static_cast<size_t>(kConvertedTileRows);
  const auto in = static_cast<size_t>(shape_.in);
  if (shape_.precision == Precision::kBf16) {
    return scratchpad_bytes_ + rows * in * sizeof(uint16_t) + 2 * kAlignment;
  }
  const size_t sums = shape_.epilogue == onednn::Epilogue::kAddToOutput
                          ? rows * static_cast<size_t>(shape_.out) * sizeof(float)
                          : 0;
  const size_t quantized = rows * (in + sizeof(QuantizedRow));
  return scratchpad_bytes_ + quantized + sums + 3 * kAlignment;
}

absl::StatusOr<const DenseKernels*> DenseKernelCache::Get(const DenseKernels::Shape& shape) {
  {
    const MutexLock lock(mutex_);
    if (const auto found = kernels_.find(shape); found != kernels_.end()) {
      return found->second.get();
    }
  }
  // Outside the lock, so that several shapes can be probed at once. Of two that make the same, one
  // is kept.
  ASSIGN_OR_RETURN(auto made, DenseKernels::Choose(shape));
  const MutexLock lock(mutex_);
  return kernels_.try_emplace(shape, std::move(made)).first->second.get();
}

size_t DenseKernelCache::workspace_bytes() const {
  const MutexLock lock(mutex_);
  size_t bytes = 0;
  for (const auto& [shape, kernels] : kernels_) {
    bytes = std::max(bytes, kernels->workspace_bytes());
  }
  return bytes;
}

}  // namespace attnd
