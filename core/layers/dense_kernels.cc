#include "core/layers/dense_kernels.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <utility>

#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/tensor/aligned_buffer.h"

namespace attnd {
namespace {

using onednn::Dense;
using onednn::DenseKind;

// The row counts whose preferred layout is tried, in this order. That of 16 rows is mostly taken by
// all the others; oneDNN 3.7.2 on AVX2 has shapes where it is not (64 -> 64, 128 -> 128), and
// shapes that fall to reference code at 512 rows (768 -> 768).
constexpr int64_t kLayoutRows[] = {16, 8, 32, 64, 128};

std::string_view Name(DenseKind kind) {
  return kind == DenseKind::kMatmul ? "matmul" : "1x1 convolution";
}

bool IsPrepacked(std::string_view implementation) {
  return implementation.starts_with("brg") || implementation.starts_with("jit_1x1");
}

std::vector<float> RandomFloats(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random() % 2001) / 1000.0f - 1.0f;
  return values;
}

// Runs one random row at the first and at the last place of each row count, among other rows, and
// compares the bits.
class Probe {
 public:
  explicit Probe(const DenseKernels::Shape& shape)
      : shape_(shape),
        weights_(RandomFloats(static_cast<size_t>(shape.in * shape.out), 1)),
        bias_(RandomFloats(static_cast<size_t>(shape.out), 2)),
        row_(RandomFloats(static_cast<size_t>(shape.in), 3)) {}

  // Begins a comparison: the first kernel that runs on `packed` says what the bits are.
  void Pack(const Dense& kernel, void* packed) {
    kernel.Pack(weights_.data(), packed);
    expected_.clear();
  }
  bool SameBits(const Dense& kernel, int64_t rows, const void* packed) {
    std::vector<float> x = RandomFloats(static_cast<size_t>(rows * shape_.in), 4);
    std::copy(row_.begin(), row_.end(), x.begin());
    std::copy(row_.begin(), row_.end(), x.end() - shape_.in);
    // Not zero, so that an epilogue which adds to the output has something to add to.
    std::vector<float> y(static_cast<size_t>(rows * shape_.out), 0.5f);
    AlignedBuffer scratchpad(kernel.scratchpad_bytes());
    kernel.Run(x.data(), packed, bias_.data(), scratchpad.data(), y.data());
    const std::vector<float> first(y.begin(), y.begin() + shape_.out);
    if (expected_.empty()) expected_ = first;
    const size_t bytes = expected_.size() * sizeof(float);
    const float* last = y.data() + (rows - 1) * shape_.out;
    return std::memcmp(first.data(), expected_.data(), bytes) == 0 &&
           std::memcmp(last, expected_.data(), bytes) == 0;
  }

 private:
  DenseKernels::Shape shape_;
  std::vector<float> weights_, bias_, row_;
  std::vector<float> expected_;
};

}  // namespace

// Makes the kernels of one kind.
class DenseKernels::Maker {
 public:
  // `probe` must outlive this; its random weights serve every layout of both kinds.
  Maker(DenseKind kind, const Shape& shape, Probe& probe)
      : spec_{.kind = kind, .in = shape.in, .out = shape.out, .epilogue = shape.epilogue},
        probe_(probe) {}

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
      if (best.size() == kRowCounts.size()) break;
    }
    if (best.empty()) return absl::UnimplementedError(refused_);
    return best;
  }

 private:
  std::vector<Kernel> MakeForLayout() {
    std::vector<Kernel> kernels;
    AlignedBuffer packed;
    for (const int64_t rows : kRowCounts) {
      spec_.rows = rows;
      absl::StatusOr<Dense> dense = Dense::Make(spec_);
      if (!dense.ok()) {
        refused_ = std::string(dense.status().message());
      } else if (!IsPrepacked(dense->implementation())) {
        refused_ = StrCat(dense->implementation(), " at ", rows, " rows is no prepacked kernel");
      } else {
        if (kernels.empty()) {
          packed = AlignedBuffer(dense->layout().bytes());
          probe_.Pack(*dense, packed.data());
        }
        if (probe_.SameBits(*dense, rows, packed.data())) {
          kernels.push_back({rows, *std::move(dense)});
          continue;
        }
        refused_ = StrCat("a row's bits differ at ", rows, " rows");
      }
      // Without the smallest there are row counts that no sum makes.
      if (rows == kRowStep) return {};
    }
    return kernels;
  }

  Dense::Spec spec_;
  Probe& probe_;
  std::string refused_;
};

absl::StatusOr<std::unique_ptr<const DenseKernels>> DenseKernels::Choose(const Shape& shape) {
  Probe probe(shape);
  std::string turned_down;
  for (const DenseKind kind : {DenseKind::kMatmul, DenseKind::kConvolution1x1}) {
    absl::StatusOr<std::vector<Kernel>> kernels = Maker(kind, shape, probe).Make();
    if (kernels.ok()) {
      std::string reason =
          StrCat(turned_down, Name(kind), ": prepacked, one layout and equal bits at ",
                 kernels->size(), " of ", kRowCounts.size(), " row counts");
      return std::unique_ptr<const DenseKernels>(
          new DenseKernels(shape, *std::move(kernels), std::move(reason)));
    }
    turned_down += StrCat(Name(kind), ": ", kernels.status().message(), "; ");
  }
  return absl::UnimplementedError(StrCat("no kernel for a dense layer ", shape.in, " -> ",
                                         shape.out, " on ", onednn::Isa(), ": ", turned_down));
}

DenseKernels::DenseKernels(const Shape& shape, std::vector<Kernel> kernels, std::string reason)
    : shape_(shape), kernels_(std::move(kernels)), reason_(std::move(reason)) {
  for (const Kernel& kernel : kernels_) {
    scratchpad_bytes_ = std::max(scratchpad_bytes_, kernel.dense.scratchpad_bytes());
  }
}

DenseKernels::Sized DenseKernels::Largest(int64_t rows) const {
  CHECK_THAT(rows >= kRowStep);
  size_t index = kernels_.size() - 1;
  while (kernels_[index].rows > rows) --index;
  return {kernels_[index].dense, kernels_[index].rows};
}

absl::StatusOr<const DenseKernels*> DenseKernelCache::Get(const DenseKernels::Shape& shape) {
  auto& entry = kernels_[shape];
  if (!entry) {
    ASSIGN_OR_RETURN(entry, DenseKernels::Choose(shape));
  }
  return entry.get();
}

size_t DenseKernelCache::scratchpad_bytes() const {
  size_t bytes = 0;
  for (const auto& [shape, kernels] : kernels_) {
    bytes = std::max(bytes, kernels ? kernels->scratchpad_bytes() : 0);
  }
  return bytes;
}

}  // namespace attnd
