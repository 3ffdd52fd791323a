#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "core/base/mutex.h"
#include "core/tensor/matrix.h"
#include "core/tensor/onednn.h"
#include "core/tensor/workspace.h"

namespace attnd {

// The primitives of self-attention over one sequence length: scores = Q K^T, softmax, weights V.
// Immutable.
//
// A call takes a group of heads and a tile of queries, small enough that their scores stay in the
// second-level cache. Group and tile follow from the length alone, so a sequence's answer does not
// depend on its batch.
class AttentionKernels {
 public:
  struct Shape {
    int32_t heads = 0;
    int32_t head_size = 0;
    int32_t length = 0;
    auto operator<=>(const Shape&) const = default;
  };
  static absl::StatusOr<std::unique_ptr<const AttentionKernels>> Make(const Shape& shape);

  // The rows of `qkv` are [Q | K | V], each heads * head_size wide and Q already scaled by
  // 1/sqrt(head_size); `context` is [length, heads * head_size].
  void Run(const float* qkv, Workspace& workspace, float* context) const;
  // The bytes of workspace that Run takes.
  size_t workspace_bytes() const;
  // A bound on it over all lengths up to `length_max`.
  static size_t WorkspaceBytesMax(int64_t length_max);
  // What the kernels are called: scores, softmax, weighted sum.
  std::string_view scores_implementation() const { return full_.scores.implementation(); }
  std::string_view softmax_implementation() const { return full_.softmax.implementation(); }
  std::string_view weighted_implementation() const { return full_.weighted.implementation(); }

 private:
  struct Tile {
    int64_t queries;
    onednn::Matmul scores;
    onednn::Softmax softmax;
    onednn::Matmul weighted;
  };
  static absl::StatusOr<Tile> MakeTile(const Shape& shape, int64_t group, int64_t queries);
  AttentionKernels(const Shape& shape, int64_t group, Tile full, std::optional<Tile> tail);
  void RunTile(const Tile& tile, const float* qkv, int64_t first_query, Workspace& workspace,
               float* context) const;

  Shape shape_;
  int64_t group_;  // Heads a call; divides heads.
  Tile full_;
  std::optional<Tile> tail_;  // The queries left over, if the tile does not divide the length.
};

// Kernels by length, made when first wanted and kept, the least recently used given up for a new
// one. Thread-safe.
class AttentionKernelCache {
 public:
  // At most this many lengths: each holds up to six primitives with generated code.
  static constexpr size_t kLengthsMax = 1024;

  AttentionKernelCache(int32_t heads, int32_t head_size, size_t lengths_max = kLengthsMax)
      : heads_(heads), head_size_(head_size), lengths_max_(lengths_max) {}

  // Shared, because a batch may still run kernels that another worker's new length has pushed out.
  absl::StatusOr<std::shared_ptr<const AttentionKernels>> Get(int32_t length) const;
  size_t size() const;

 private:
  struct Entry {
    std::shared_ptr<const AttentionKernels> kernels;
    std::list<int32_t>::iterator age;
  };
  const int32_t heads_;
  const int32_t head_size_;
  const size_t lengths_max_;

  mutable Mutex mutex_;
  mutable std::unordered_map<int32_t, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  mutable std::list<int32_t> ages_ ABSL_GUARDED_BY(mutex_);  // Most recently used first.
};

}  // namespace attnd
