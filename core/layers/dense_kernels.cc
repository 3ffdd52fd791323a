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

// The layout that a kernel for 16 rows prefers is the one that the others take too, on both ISAs
// and in both versions.
constexpr int64_t kLayoutRows = 16;

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

  absl::Status Check(const std::vector<Dense>& kernels) {
    AlignedBuffer packed(kernels.front().layout().bytes());
    kernels.front().Pack(weights_.data(), packed.data());
    for (size_t i = 0; i < kernels.size(); ++i) {
      if (!SameBits(kernels[i], kRowCounts[i], packed)) {
        return absl::UnimplementedError(StrCat("a row's bits differ at ", kRowCounts[i], " rows"));
      }
    }
    return absl::OkStatus();
  }

 private:
  bool SameBits(const Dense& kernel, int64_t rows, const AlignedBuffer& packed) {
    std::vector<float> x = RandomFloats(static_cast<size_t>(rows * shape_.in), 4);
    std::copy(row_.begin(), row_.end(), x.begin());
    std::copy(row_.begin(), row_.end(), x.end() - shape_.in);
    // Not zero, so that an epilogue which adds to the output has something to add to.
    std::vector<float> y(static_cast<size_t>(rows * shape_.out), 0.5f);
    AlignedBuffer scratchpad(kernel.scratchpad_bytes());
    kernel.Run(x.data(), packed.data(), bias_.data(), scratchpad.data(), y.data());
    const std::vector<float> first(y.begin(), y.begin() + shape_.out);
    if (expected_.empty()) expected_ = first;
    const size_t bytes = expected_.size() * sizeof(float);
    const float* last = y.data() + (rows - 1) * shape_.out;
    return std::memcmp(first.data(), expected_.data(), bytes) == 0 &&
           std::memcmp(last, expected_.data(), bytes) == 0;
  }

  DenseKernels::Shape shape_;
  std::vector<float> weights_, bias_, row_;
  std::vector<float> expected_;
};

// All kernels of one kind, or why it will not do.
absl::StatusOr<std::vector<Dense>> MakeAll(DenseKind kind, const DenseKernels::Shape& shape) {
  Dense::Spec spec{.kind = kind,
                   .rows = kLayoutRows,
                   .in = shape.in,
                   .out = shape.out,
                   .epilogue = shape.epilogue};
  ASSIGN_OR_RETURN(const Dense preferred, Dense::Make(spec));
  spec.layout = &preferred.layout();
  std::vector<Dense> kernels;
  for (const int64_t rows : kRowCounts) {
    spec.rows = rows;
    ASSIGN_OR_RETURN(Dense kernel, Dense::Make(spec));
    if (!IsPrepacked(kernel.implementation())) {
      return absl::UnimplementedError(
          StrCat(kernel.implementation(), " at ", rows, " rows is no prepacked kernel"));
    }
    kernels.push_back(std::move(kernel));
  }
  RETURN_IF_ERROR(Probe(shape).Check(kernels));
  return kernels;
}

}  // namespace

absl::StatusOr<std::unique_ptr<const DenseKernels>> DenseKernels::Choose(const Shape& shape) {
  std::string turned_down;
  for (const DenseKind kind : {DenseKind::kMatmul, DenseKind::kConvolution1x1}) {
    absl::StatusOr<std::vector<Dense>> kernels = MakeAll(kind, shape);
    if (kernels.ok()) {
      return std::unique_ptr<const DenseKernels>(new DenseKernels(
          shape, *std::move(kernels),
          StrCat(turned_down, Name(kind), ": prepacked, one layout and equal bits at ",
                 kRowCounts.size(), " row counts")));
    }
    turned_down += StrCat(Name(kind), ": ", kernels.status().message(), "; ");
  }
  return absl::UnimplementedError(StrCat("no kernel for a dense layer ", shape.in, " -> ",
                                         shape.out, " on ", onednn::Isa(), ": ", turned_down));
}

DenseKernels::DenseKernels(const Shape& shape, std::vector<Dense> kernels, std::string reason)
    : shape_(shape), kernels_(std::move(kernels)), reason_(std::move(reason)) {
  for (const Dense& kernel : kernels_) {
    scratchpad_bytes_ = std::max(scratchpad_bytes_, kernel.scratchpad_bytes());
  }
}

DenseKernels::Sized DenseKernels::Largest(int64_t rows) const {
  CHECK_THAT(rows >= kRowCounts.front());
  size_t index = kRowCounts.size() - 1;
  while (kRowCounts[index] > rows) --index;
  return {kernels_[index], kRowCounts[index]};
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
