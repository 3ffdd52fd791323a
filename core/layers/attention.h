#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "core/base/mutex.h"
#include "core/layers/relative_bias.h"
#include "core/tensor/matrix.h"
#include "core/tensor/onednn.h"
#include "core/tensor/workspace.h"

namespace attnd {

// What one sequence's caller wants to see of its attention. Each matrix is [heads, length, length],
// the heads being those that are named; null: not wanted.
struct AttentionTap {
  std::span<const int32_t> heads;  // Empty: all.
  float* weights = nullptr;
  float* scores = nullptr;  // Before the softmax; -Inf outside the window.
};

// The primitives of self-attention over one sequence length: scores = Q K^T, softmax, weights V.
// With a window, a query sees keys at most that many places away (Beltagy et al. 2020,
// "Longformer", section 3.1) and the work grows with the length, not its square. Immutable.
//
// A call takes a group of heads and a tile of queries with the keys that they see, small enough
// that their scores stay in the second-level cache. Group and tiles follow from the length alone,
// so a sequence's answer does not depend on its batch.
class AttentionKernels {
 public:
  struct Shape {
    int32_t heads = 0;
    int32_t head_size = 0;
    int32_t length = 0;
    int32_t window = 0;  // Places to either side that a query sees; 0: all.
    auto operator<=>(const Shape&) const = default;
  };
  static absl::StatusOr<std::unique_ptr<const AttentionKernels>> Make(const Shape& shape);

  // The rows of `qkv` are [Q | K | V], each heads * head_size wide and Q already scaled; `context`
  // is [length, heads * head_size]. `bias` and `tap` may be null.
  void Run(const float* qkv, const RelativeBias* bias, Workspace& workspace, float* context,
           const AttentionTap* tap = nullptr) const;
  // The same in parts, which may be computed in any order and at the same time: a tile of a group
  // of heads each.
  int64_t part_count() const {
    return static_cast<int64_t>(tiles_.size()) * (shape_.heads / group_);
  }
  void RunPart(int64_t part, const float* qkv, const RelativeBias* bias, Workspace& workspace,
               float* context, const AttentionTap* tap = nullptr) const;
  // The bytes of workspace that Run takes.
  size_t workspace_bytes() const;
  // A bound on it over all lengths up to `length_max`, with any window.
  static size_t WorkspaceBytesMax(int64_t length_max);
  // What the kernels are called: scores, softmax, weighted sum.
  std::string_view scores_implementation() const { return kernels_[0].scores.implementation(); }
  std::string_view softmax_implementation() const { return kernels_[0].softmax.implementation(); }
  std::string_view weighted_implementation() const { return kernels_[0].weighted.implementation(); }

 private:
  // The primitives for one tile's size.
  struct Kernels {
    int64_t queries, keys;
    onednn::Matmul scores;
    onednn::InPlace softmax;
    onednn::Matmul weighted;
  };
  struct Tile {
    int64_t first_query, first_key;
    size_t kernels;  // Its place in kernels_.
  };
  // What Run is called with.
  struct Call {
    const float* qkv;
    const RelativeBias* bias;
    float* context;
    const AttentionTap* tap;
  };
  static absl::StatusOr<Kernels> MakeKernels(const Shape& shape, int64_t group, int64_t queries,
                                             int64_t keys);
  explicit AttentionKernels(const Shape& shape) : shape_(shape) {}
  absl::Status AddTile(int64_t first_query, int64_t queries, int64_t first_key, int64_t keys);
  void RunTile(const Tile& tile, int64_t head, const Call& call, Workspace& workspace) const;
  // Adds the bias to the scores [group, queries, keys] of the heads from `head` on, and hides what
  // lies outside the window.
  void Adjust(const Tile& tile, int64_t head, const RelativeBias* bias, float* scores) const;
  void Copy(const Tile& tile, int64_t head, const float* values, std::span<const int32_t> heads,
            float outside, float* out) const;

  Shape shape_;
  int64_t group_ = 1;  // Heads a call; divides heads.
  std::vector<Kernels> kernels_;
  std::vector<Tile> tiles_;
};

// Kernels by length, made when first wanted and kept, the least recently used given up for a new
// one. Thread-safe.
class AttentionKernelCache {
 public:
  // At most this many lengths: each holds up to six primitives with generated code.
  static constexpr size_t kLengthsMax = 1024;

  // `shape.length` is not looked at.
  explicit AttentionKernelCache(const AttentionKernels::Shape& shape,
                                size_t lengths_max = kLengthsMax)
      : shape_(shape), lengths_max_(lengths_max) {}

  // Shared, because a batch may still run kernels that another worker's new length has pushed out.
  absl::StatusOr<std::shared_ptr<const AttentionKernels>> Get(int32_t length) const;
  size_t size() const;

 private:
  struct Entry {
    std::shared_ptr<const AttentionKernels> kernels;
    std::list<int32_t>::iterator age;
  };
  const AttentionKernels::Shape shape_;
  const size_t lengths_max_;

  mutable Mutex mutex_;
  mutable std::unordered_map<int32_t, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  mutable std::list<int32_t> ages_ ABSL_GUARDED_BY(mutex_);  // Most recently used first.
};

}  // namespace attnd
