#include "core/layers/attention.h"

#include <algorithm>

#include "core/base/status_macros.h"
#include "core/layers/dense_kernels.h"

namespace attnd {
namespace {

// Scores of one call, in bytes: a quarter of the second-level cache that current cores have at
// least (1 MiB), which leaves room for the queries, keys and values.
constexpr int64_t kScoresBytesMax = 256 << 10;
constexpr int64_t kTileQueriesMin = 16;
// What a primitive may want of its own; checked when it is made.
constexpr size_t kScratchpadBytesMax = 4 << 20;

// Queries a call: all, unless one head's scores alone would leave the cache.
int64_t TileQueries(int64_t length) {
  const int64_t fitting = kScoresBytesMax / static_cast<int64_t>(sizeof(float)) / length;
  if (fitting >= length) return length;
  return std::max(kTileQueriesMin, fitting / kTileQueriesMin * kTileQueriesMin);
}

// Heads a call: the largest divisor of `heads` whose scores fit.
int64_t GroupHeads(int64_t heads, int64_t queries, int64_t length) {
  const int64_t bytes_per_head = queries * length * static_cast<int64_t>(sizeof(float));
  int64_t group = heads;
  while (group > 1 && (heads % group != 0 || group * bytes_per_head > kScoresBytesMax)) --group;
  return group;
}

}  // namespace

absl::StatusOr<std::unique_ptr<const AttentionKernels>> AttentionKernels::Make(const Shape& shape) {
  const int64_t queries = TileQueries(shape.length);
  const int64_t group = GroupHeads(shape.heads, queries, shape.length);
  ASSIGN_OR_RETURN(Tile full, MakeTile(shape, group, queries));
  std::optional<Tile> tail;
  if (const int64_t left = shape.length % queries; left != 0) {
    ASSIGN_OR_RETURN(tail, MakeTile(shape, group, left));
  }
  std::unique_ptr<const AttentionKernels> kernels(
      new AttentionKernels(shape, group, std::move(full), std::move(tail)));
  if (kernels->workspace_bytes() > WorkspaceBytesMax(shape.length)) {
    return absl::ResourceExhaustedError("oneDNN wants more scratch memory than a worker has");
  }
  return kernels;
}

absl::StatusOr<AttentionKernels::Tile> AttentionKernels::MakeTile(const Shape& shape, int64_t group,
                                                                  int64_t queries) {
  const int64_t size = shape.head_size;
  const int64_t length = shape.length;
  const int64_t width = shape.heads * size;
  const onednn::View3 q{{group, queries, size}, {size, 3 * width, 1}};
  const onednn::View3 k{{group, size, length}, {size, 1, 3 * width}};
  const onednn::View3 v{{group, length, size}, {size, 3 * width, 1}};
  const onednn::View3 weights{{group, queries, length}, {queries * length, length, 1}};
  const onednn::View3 context{{group, queries, size}, {size, width, 1}};
  ASSIGN_OR_RETURN(auto scores, onednn::Matmul::Make(q, k, weights));
  ASSIGN_OR_RETURN(auto softmax, onednn::Softmax::Make(group * queries, length));
  ASSIGN_OR_RETURN(auto weighted, onednn::Matmul::Make(weights, v, context));
  return Tile{queries, std::move(scores), std::move(softmax), std::move(weighted)};
}

AttentionKernels::AttentionKernels(const Shape& shape, int64_t group, Tile full,
                                   std::optional<Tile> tail)
    : shape_(shape), group_(group), full_(std::move(full)), tail_(std::move(tail)) {}

void AttentionKernels::Run(const float* qkv, Workspace& workspace, float* context) const {
  int64_t query = 0;
  for (; query + full_.queries <= shape_.length; query += full_.queries) {
    RunTile(full_, qkv, query, workspace, context);
  }
  if (tail_) RunTile(*tail_, qkv, query, workspace, context);
}

void AttentionKernels::RunTile(const Tile& tile, const float* qkv, int64_t first_query,
                               Workspace& workspace, float* context) const {
  const int64_t width = int64_t{shape_.heads} * shape_.head_size;
  Workspace::Frame frame(workspace);
  float* weights = frame.TakeFloats(group_ * tile.queries * shape_.length);
  void* scratchpad =
      frame.TakeBytes(std::max({tile.scores.scratchpad_bytes(), tile.softmax.scratchpad_bytes(),
                                tile.weighted.scratchpad_bytes()}));
  for (int64_t head = 0; head < shape_.heads; head += group_) {
    const int64_t column = head * shape_.head_size;
    const float* queries = qkv + first_query * 3 * width + column;
    tile.scores.Run(queries, qkv + width + column, weights, scratchpad);
    tile.softmax.Run(weights, scratchpad);
    tile.weighted.Run(weights, qkv + 2 * width + column, context + first_query * width + column,
                      scratchpad);
  }
}

size_t AttentionKernels::workspace_bytes() const {
  const auto scratchpad = [](const Tile& tile) {
    return std::max({tile.scores.scratchpad_bytes(), tile.softmax.scratchpad_bytes(),
                     tile.weighted.scratchpad_bytes()});
  };
  const size_t weights =
      static_cast<size_t>(group_ * full_.queries * shape_.length) * sizeof(float);
  // The workspace rounds each of the two up to a cache line.
  return weights + std::max(scratchpad(full_), tail_ ? scratchpad(*tail_) : 0) + 128;
}

size_t AttentionKernels::WorkspaceBytesMax(int64_t length_max) {
  // The scores of one call: within the budget, or the smallest tile of a sequence so long that even
  // that passes it.
  const int64_t scores =
      std::max(kScoresBytesMax, kTileQueriesMin * length_max * static_cast<int64_t>(sizeof(float)));
  return static_cast<size_t>(scores) + kScratchpadBytesMax;
}

absl::StatusOr<std::shared_ptr<const AttentionKernels>> AttentionKernelCache::Get(
    int32_t length) const {
  {
    MutexLock lock(mutex_);
    if (const auto found = entries_.find(length); found != entries_.end()) {
      ages_.splice(ages_.begin(), ages_, found->second.age);
      return found->second.kernels;
    }
  }
  // Made outside the lock: generating code takes a part of a millisecond. Two workers may both make
  // it; one is kept.
  ASSIGN_OR_RETURN(std::shared_ptr<const AttentionKernels> made,
                   AttentionKernels::Make({heads_, head_size_, length}));
  MutexLock lock(mutex_);
  if (const auto found = entries_.find(length); found != entries_.end()) {
    return found->second.kernels;
  }
  if (entries_.size() == lengths_max_) {
    entries_.erase(ages_.back());
    ages_.pop_back();
  }
  ages_.push_front(length);
  entries_[length] = {made, ages_.begin()};
  return made;
}

size_t AttentionKernelCache::size() const {
  MutexLock lock(mutex_);
  return entries_.size();
}

}  // namespace attnd
