#include "core/layers/attention.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/base/status_macros.h"
#include "core/layers/kernels.h"

namespace attnd {
namespace {

// Scores of one call, in bytes: a quarter of the second-level cache that current cores have at
// least (1 MiB), which leaves room for the queries, keys and values.
constexpr int64_t kScoresBytesMax = 256 << 10;
constexpr int64_t kTileQueriesMin = 16;
constexpr int64_t kGroupsMin = 4;
// What a primitive may want of its own; checked when it is made.
constexpr size_t kScratchpadBytesMax = 4 << 20;

// The score of a key that takes no part.
constexpr float kExcluded = -std::numeric_limits<float>::infinity();
constexpr int64_t kFloatBytes = static_cast<int64_t>(sizeof(float));

// Queries a call: all, unless one head's scores alone would leave the cache.
int64_t TileQueries(int64_t length) {
  const int64_t fitting = kScoresBytesMax / kFloatBytes / length;
  if (fitting >= length) return length;
  return std::max(kTileQueriesMin, fitting / kTileQueriesMin * kTileQueriesMin);
}

// With a window, a tile of n queries has n + 2 windows of keys. As many queries as a window has
// places on one side: fewer would compute mostly neighbours' keys again, more would mostly compute
// what is hidden.
int64_t TileQueriesInWindow(int64_t window) {
  int64_t queries = std::max(kTileQueriesMin, window / kTileQueriesMin * kTileQueriesMin);
  while (queries > kTileQueriesMin &&
         queries * (queries + 2 * window) * kFloatBytes > kScoresBytesMax)
    queries -= kTileQueriesMin;
  return queries;
}

// Heads a call: all if their scores fit, else the largest divisor of `heads` whose scores do and
// that makes at least four groups, so that two or four workers can share them evenly.
int64_t GroupHeads(int64_t heads, int64_t scores) {
  if (heads * scores * kFloatBytes <= kScoresBytesMax) return heads;
  int64_t group = std::max<int64_t>(1, heads / kGroupsMin);
  while (group > 1 && (heads % group != 0 || group * scores * kFloatBytes > kScoresBytesMax))
    --group;
  return group;
}

}  // namespace

absl::StatusOr<std::unique_ptr<const AttentionKernels>> AttentionKernels::Make(const Shape& shape) {
  Shape planned = shape;
  // Everybody sees everybody.
  if (planned.window >= planned.length - 1) planned.window = 0;
  const int64_t length = planned.length, window = planned.window;
  const int64_t step =
      window > 0 ? std::min(length, TileQueriesInWindow(window)) : TileQueries(length);
  std::unique_ptr<AttentionKernels> kernels(new AttentionKernels(planned));
  const int64_t keys = window > 0 ? std::min(length, step + 2 * window) : length;
  kernels->group_ = GroupHeads(planned.heads, step * keys);
  for (int64_t query = 0; query < length; query += step) {
    // As many keys for a tile at either end, which needs fewer: else each would want primitives of
    // its own.
    const int64_t first_key =
        window > 0 ? std::clamp<int64_t>(query - window, 0, length - keys) : 0;
    RETURN_IF_ERROR(kernels->AddTile(query, std::min(step, length - query), first_key, keys));
  }
  if (kernels->workspace_bytes() > WorkspaceBytesMax(length)) {
    return absl::ResourceExhaustedError("oneDNN wants more scratch memory than a worker has");
  }
  return std::unique_ptr<const AttentionKernels>(std::move(kernels));
}

absl::Status AttentionKernels::AddTile(int64_t first_query, int64_t queries, int64_t first_key,
                                       int64_t keys) {
  size_t index = 0;
  while (index < kernels_.size() &&
         (kernels_[index].queries != queries || kernels_[index].keys != keys)) {
    ++index;
  }
  if (index == kernels_.size()) {
    ASSIGN_OR_RETURN(Kernels made, MakeKernels(shape_, group_, queries, keys));
    kernels_.push_back(std::move(made));
  }
  tiles_.push_back({first_query, first_key, index});
  return absl::OkStatus();
}

absl::StatusOr<AttentionKernels::Kernels> AttentionKernels::MakeKernels(const Shape& shape,
                                                                        int64_t group,
                                                                        int64_t queries,
                                                                        int64_t keys) {
  const int64_t size = shape.head_size;
  const int64_t width = shape.heads * size;
  const onednn::View3 q{{group, queries, size}, {size, 3 * width, 1}};
  const onednn::View3 k{{group, size, keys}, {size, 1, 3 * width}};
  const onednn::View3 v{{group, keys, size}, {size, 3 * width, 1}};
  const onednn::View3 weights{{group, queries, keys}, {queries * keys, keys, 1}};
  const onednn::View3 context{{group, queries, size}, {size, width, 1}};
  ASSIGN_OR_RETURN(auto scores, onednn::Matmul::Make(q, k, weights));
  ASSIGN_OR_RETURN(auto softmax, onednn::InPlace::Make(onednn::SoftmaxSpec{group * queries, keys}));
  ASSIGN_OR_RETURN(auto weighted, onednn::Matmul::Make(weights, v, context));
  return Kernels{queries, keys, std::move(scores), std::move(softmax), std::move(weighted)};
}

void AttentionKernels::Run(const float* qkv, const RelativeBias* bias, Workspace& workspace,
                           float* context, const AttentionTap* tap) const {
  for (int64_t part = 0; part < part_count(); ++part) {
    RunPart(part, qkv, bias, workspace, context, tap);
  }
}

void AttentionKernels::RunPart(int64_t part, const float* qkv, const RelativeBias* bias,
                               Workspace& workspace, float* context,
                               const AttentionTap* tap) const {
  const int64_t groups = shape_.heads / group_;
  RunTile(tiles_[static_cast<size_t>(part / groups)], part % groups * group_,
          {qkv, bias, context, tap}, workspace);
}

// The heads from `head` on, as many as a group has.
void AttentionKernels::RunTile(const Tile& tile, int64_t head, const Call& call,
                               Workspace& workspace) const {
  const Kernels& kernels = kernels_[tile.kernels];
  const int64_t width = int64_t{shape_.heads} * shape_.head_size;
  Workspace::Frame frame(workspace);
  float* weights = frame.TakeFloats(group_ * kernels.queries * kernels.keys);
  void* scratchpad = frame.TakeBytes(
      std::max({kernels.scores.scratchpad_bytes(), kernels.softmax.scratchpad_bytes(),
                kernels.weighted.scratchpad_bytes()}));
  const int64_t column = head * shape_.head_size;
  const float* queries = call.qkv + tile.first_query * 3 * width + column;
  const float* keys = call.qkv + tile.first_key * 3 * width + column;
  {
    StageTimer timer(workspace.profile(), Stage::kScores);
    kernels.scores.Run(queries, keys + width, weights, scratchpad);
    if (call.bias != nullptr || shape_.window > 0) Adjust(tile, head, call.bias, weights);
  }
  if (call.tap != nullptr && call.tap->scores != nullptr) {
    Copy(tile, head, weights, call.tap->heads, kExcluded, call.tap->scores);
  }
  {
    StageTimer timer(workspace.profile(), Stage::kSoftmax);
    kernels.softmax.Run(weights, scratchpad);
  }
  if (call.tap != nullptr && call.tap->weights != nullptr) {
    Copy(tile, head, weights, call.tap->heads, 0, call.tap->weights);
  }
  StageTimer timer(workspace.profile(), Stage::kWeightedSum);
  kernels.weighted.Run(weights, keys + 2 * width, call.context + tile.first_query * width + column,
                       scratchpad);
}

void AttentionKernels::Adjust(const Tile& tile, int64_t head, const RelativeBias* bias,
                              float* scores) const {
  const int64_t queries = kernels_[tile.kernels].queries, keys = kernels_[tile.kernels].keys;
  for (int64_t i = 0; i < group_; ++i) {
    for (int64_t j = 0; j < queries; ++j) {
      float* row = scores + (i * queries + j) * keys;
      const int64_t query = tile.first_query + j;
      if (bias != nullptr) {
        kernels::Sum2(row, bias->Row(head + i, query) + tile.first_key, row, keys);
      }
      if (shape_.window == 0) continue;
      const int64_t first = std::max<int64_t>(0, query - shape_.window - tile.first_key);
      const int64_t end = std::min(keys, query + shape_.window + 1 - tile.first_key);
      std::fill(row, row + first, kExcluded);
      std::fill(row + end, row + keys, kExcluded);
    }
  }
}

// Whole rows of the wanted heads among `head` and those behind it in its group: what the tile has
// not computed is `outside`.
void AttentionKernels::Copy(const Tile& tile, int64_t head, const float* values,
                            std::span<const int32_t> heads, float outside, float* out) const {
  const int64_t queries = kernels_[tile.kernels].queries, keys = kernels_[tile.kernels].keys;
  const int64_t length = shape_.length;
  const int64_t count = heads.empty() ? shape_.heads : static_cast<int64_t>(heads.size());
  for (int64_t place = 0; place < count; ++place) {
    const int64_t wanted = heads.empty() ? place : heads[place];
    if (wanted < head || wanted >= head + group_) continue;
    for (int64_t j = 0; j < queries; ++j) {
      float* row = out + (place * length + tile.first_query + j) * length;
      std::fill(row, row + length, outside);
      std::copy_n(values + ((wanted - head) * queries + j) * keys, keys, row + tile.first_key);
    }
  }
}

size_t AttentionKernels::workspace_bytes() const {
  size_t bytes = 0;
  for (const Kernels& kernels : kernels_) {
    const auto weights =
        static_cast<size_t>(group_ * kernels.queries * kernels.keys) * sizeof(float);
    bytes = std::max(bytes, weights + std::max({kernels.scores.scratchpad_bytes(),
                                                kernels.softmax.scratchpad_bytes(),
                                                kernels.weighted.scratchpad_bytes()}));
  }
  return bytes + 128;  // The workspace rounds each of the two up to a cache line.
}

size_t AttentionKernels::WorkspaceBytesMax(int64_t length_max) {
  // The scores of one call: within the budget, or the smallest tile of a sequence so long that even
  // that passes it.
  const int64_t scores = std::max(kScoresBytesMax, kTileQueriesMin * length_max * kFloatBytes);
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
  AttentionKernels::Shape shape = shape_;
  shape.length = length;
  // Made outside the lock: generating code takes a part of a millisecond. Two workers may both make
  // it; one is kept.
  ASSIGN_OR_RETURN(std::shared_ptr<const AttentionKernels> made, AttentionKernels::Make(shape));
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
