#include "core/model/encoder.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"

namespace attnd {
namespace {

int64_t RowsOf(const EncodeTask& task, int64_t hidden) {
  return task.embeddings.empty() ? static_cast<int64_t>(task.ids.size())
                                 : static_cast<int64_t>(task.embeddings.size()) / hidden;
}

// Zeroes the rows past the last token: what a Linear reads there must be finite, or slow denormals
// could stand in it.
void ClearPadding(Matrix x, int64_t rows) {
  std::fill(x.row(rows), x.data + x.rows * x.stride, 0.0f);
}

// What the task wants to see of this layer's attention; nothing, mostly.
std::optional<AttentionTap> TapOf(EncodeTask& task, int32_t layer, int32_t heads, int64_t rows) {
  if (!task.return_attention_weights && !task.return_attention_scores) return std::nullopt;
  const auto found = std::find(task.attention_layers.begin(), task.attention_layers.end(), layer);
  if (found == task.attention_layers.end()) return std::nullopt;
  const int64_t count =
      task.attention_heads.empty() ? heads : static_cast<int64_t>(task.attention_heads.size());
  const int64_t offset = (found - task.attention_layers.begin()) * count * rows * rows;
  AttentionTap tap{.heads = task.attention_heads};
  if (task.return_attention_weights) tap.weights = task.attention_weights_out.data() + offset;
  if (task.return_attention_scores) tap.scores = task.attention_scores_out.data() + offset;
  return tap;
}

// The rows [begin, end).
Matrix RowsOf(Matrix x, int64_t begin, int64_t end) {
  return {x.row(begin), end - begin, x.columns, x.stride};
}

// Rows of a tile: all members get as many tiles of one size; alone, all tiles but the last are of
// the most rows. Bits do not depend on it.
int64_t TileRows(int64_t rows, int members) {
  if (members == 1) return std::min(rows, FeedForward::kTileRows);
  const int64_t round = members * FeedForward::kTileRows;
  const int64_t tiles = (rows + round - 1) / round * members;
  return RoundUpRows((rows + tiles - 1) / tiles);
}

}  // namespace

// One Run on its way through the layers.
struct Encoder::Pass {
  std::span<EncodeTask* const> tasks;
  Scratch& scratch;
  Team& team;
  const PackedBatch& batch;
  Matrix x, qkv, context;  // All rows; the last two of the current layer.

  // Calls `use(rows begin, rows end, workspace)` for each tile.
  template <typename Use>
  void ForTiles(Use use) const {
    const int64_t tile_rows = TileRows(x.rows, team.size());
    const int64_t tiles = (x.rows + tile_rows - 1) / tile_rows;
    team.For(tiles, [&](int64_t tile, Workspace& workspace) {
      const int64_t begin = tile * tile_rows;
      use(begin, std::min(begin + tile_rows, x.rows), workspace);
    });
  }
};

Encoder::Scratch::Scratch(const Encoder& encoder) : workspace_(encoder.WorkspaceBytes()) {}

absl::Status Encoder::Run(std::span<EncodeTask* const> tasks, Scratch& scratch) const {
  Alone alone(scratch.workspace_);
  return Run(tasks, scratch, alone);
}

// Rows are independent but in attention. So a layer is two phases: attention, in parts of sequences
// and heads; and all that lies between it and the next layer's attention, in tiles of rows.
absl::Status Encoder::Run(std::span<EncodeTask* const> tasks, Scratch& scratch, Team& team) const {
  RETURN_IF_ERROR(Prepare(tasks, scratch));
  const PackedBatch& batch = scratch.batch_;
  Workspace::Frame frame(scratch.workspace_);
  const int64_t rows = RoundUpRows(batch.row_count());
  const int64_t width = arch_.encoder.width();
  const Pass pass{.tasks = tasks,
                  .scratch = scratch,
                  .team = team,
                  .batch = batch,
                  .x = frame.TakeMatrix(rows, arch_.hidden),
                  .qkv = frame.TakeMatrix(rows, 3 * width),
                  .context = frame.TakeMatrix(rows, width)};
  {
    StageTimer timer(scratch.workspace_.profile(), Stage::kEmbed);
    EmbedBatch(tasks, batch, pass.x);
  }
  ClearPadding(pass.context, batch.row_count());
  TakeHidden(tasks, batch, 0, pass.x);
  pass.ForTiles([&](int64_t begin, int64_t end, Workspace& workspace) {
    ProjectRows(0, pass, begin, end, workspace);
  });
  const int32_t layers = arch_.encoder.layers;
  for (int32_t i = 0; i < layers; ++i) {
    Attend(i, pass);
    pass.ForTiles([&](int64_t begin, int64_t end, Workspace& workspace) {
      FinishRows(i, pass, begin, end, workspace);
      if (i + 1 < layers) ProjectRows(i + 1, pass, begin, end, workspace);
    });
    TakeHidden(tasks, batch, i + 1, pass.x);
    if (team.abandoned()) return absl::CancelledError("nobody waits for the batch any more");
  }
  StageTimer timer(scratch.workspace_.profile(), Stage::kTake);
  TakeOutputs(tasks, scratch, pass.x);
  return absl::OkStatus();
}

absl::Status Encoder::Prepare(std::span<EncodeTask* const> tasks, Scratch& scratch) const {
  scratch.batch_.Clear();
  scratch.attention_.clear();
  scratch.local_attention_.clear();
  for (const EncodeTask* task : tasks) {
    const auto rows = static_cast<int32_t>(RowsOf(*task, arch_.hidden));
    scratch.batch_.Append(rows);
    ASSIGN_OR_RETURN(auto kernels, attention_kernels_->Get(rows));
    scratch.attention_.push_back(std::move(kernels));
    if (!local_attention_kernels_) continue;
    ASSIGN_OR_RETURN(auto local, local_attention_kernels_->Get(rows));
    scratch.local_attention_.push_back(std::move(local));
  }
  CHECK_THAT(scratch.batch_.row_count() <= options_.batch_rows_max);
  return absl::OkStatus();
}

void Encoder::EmbedBatch(std::span<EncodeTask* const> tasks, const PackedBatch& batch,
                         Matrix x) const {
  for (size_t i = 0; i < tasks.size(); ++i) {
    const EncodeTask& task = *tasks[i];
    const Matrix rows = Part(x, batch.rows(static_cast<int32_t>(i)));
    if (task.embeddings.empty()) {
      embed_->Run(task.ids, task.types, rows);
    } else {
      embed_->Run(std::span<const float>(task.embeddings), task.types, rows);
    }
  }
  ClearPadding(x, batch.row_count());
}

// Queries, keys and values of the rows [begin, end) of the layer's input.
void Encoder::ProjectRows(int32_t index, const Pass& pass, int64_t begin, int64_t end,
                          Workspace& workspace) const {
  const Layer& layer = layers_[static_cast<size_t>(index)];
  Profile* profile = workspace.profile();
  Workspace::Frame frame(workspace);
  Matrix x = RowsOf(pass.x, begin, end);
  if (arch_.encoder.norm_at == NormAt::kBefore && layer.attention_norm) {
    StageTimer timer(profile, Stage::kNorm);
    const Matrix normed = frame.TakeMatrix(x.rows, x.columns);
    layer.attention_norm->Run(x, normed);
    x = normed;
  }
  StageTimer timer(profile, Stage::kQkv);
  layer.qkv.Run(x, workspace, RowsOf(pass.qkv, begin, end));
  if (const auto& rotary = layer.local ? local_rotary_ : rotary_) {
    Rotate(*rotary, pass, begin, end);
  }
}

// Turns the queries and keys of those rows by their places in their sequences.
void Encoder::Rotate(const Rotary& rotary, const Pass& pass, int64_t begin, int64_t end) const {
  for (int32_t i = pass.batch.Find(static_cast<int32_t>(begin)); i < pass.batch.sequence_count();
       ++i) {
    const PackedBatch::Rows rows = pass.batch.rows(i);
    if (rows.begin >= end) break;
    const int64_t first = std::max<int64_t>(begin, rows.begin);
    rotary.Run(RowsOf(pass.qkv, first, std::min<int64_t>(end, rows.end)), first - rows.begin);
  }
}

void Encoder::Attend(int32_t index, const Pass& pass) const {
  const bool local = layers_[static_cast<size_t>(index)].local;
  const auto& kernels = local ? pass.scratch.local_attention_ : pass.scratch.attention_;
  const RelativeBias* bias = relative_bias_ ? &*relative_bias_ : nullptr;
  std::vector<int64_t>& ends = pass.scratch.part_ends_;
  ends.clear();
  for (const auto& kernel : kernels) {
    ends.push_back((ends.empty() ? 0 : ends.back()) + kernel->part_count());
  }
  pass.team.For(ends.back(), [&](int64_t part, Workspace& workspace) {
    const auto i =
        static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), part) - ends.begin());
    const PackedBatch::Rows rows = pass.batch.rows(static_cast<int32_t>(i));
    const std::optional<AttentionTap> tap =
        TapOf(*pass.tasks[i], index + 1, arch_.encoder.heads, rows.count());
    kernels[i]->RunPart(part - (i == 0 ? 0 : ends[i - 1]), pass.qkv.row(rows.begin), bias,
                        workspace, pass.context.row(rows.begin), tap ? &*tap : nullptr);
  });
}

// From attention to the layer's output. Attention and the feed-forward half are each added to their
// input. Normalised after the addition: Vaswani et al. 2017, "Attention Is All You Need", section
// 3.1. Before the sublayer: Xiong et al. 2020, "On Layer Normalization in the Transformer
// Architecture", table 1.
void Encoder::FinishRows(int32_t index, const Pass& pass, int64_t begin, int64_t end,
                         Workspace& workspace) const {
  const Layer& layer = layers_[static_cast<size_t>(index)];
  const bool norm_before = arch_.encoder.norm_at == NormAt::kBefore;
  Profile* profile = workspace.profile();
  Workspace::Frame frame(workspace);
  const Matrix x = RowsOf(pass.x, begin, end);
  {
    StageTimer timer(profile, Stage::kOutput);
    layer.out.Run(RowsOf(pass.context, begin, end), workspace, x);
  }
  Matrix inner = x;
  {
    StageTimer timer(profile, Stage::kNorm);
    if (norm_before) {
      inner = frame.TakeMatrix(x.rows, x.columns);
      layer.ffn_norm.Run(x, inner);
    } else {
      layer.attention_norm->Run(x);
    }
  }
  {
    StageTimer timer(profile, Stage::kFeedForward);
    layer.ffn.Run(inner, workspace, x);
  }
  StageTimer timer(profile, Stage::kNorm);
  if (!norm_before) layer.ffn_norm.Run(x);
  // The last layer's output is what the final norm makes of it.
  if (index + 1 == arch_.encoder.layers && final_norm_) final_norm_->Run(x);
}

}  // namespace attnd
