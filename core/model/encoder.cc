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

}  // namespace

Encoder::Scratch::Scratch(const Encoder& encoder) : workspace_(encoder.WorkspaceBytes()) {}

absl::Status Encoder::Run(std::span<EncodeTask* const> tasks, Scratch& scratch) const {
  RETURN_IF_ERROR(Prepare(tasks, scratch));
  const PackedBatch& batch = scratch.batch_;
  Workspace::Frame frame(scratch.workspace_);
  const Matrix x = frame.TakeMatrix(RoundUpRows(batch.row_count()), arch_.hidden);
  EmbedBatch(tasks, batch, x);
  TakeHidden(tasks, batch, 0, x);
  for (int32_t i = 0; i < arch_.encoder.layers; ++i) {
    RunLayer(i, tasks, scratch, x);
    // The last layer's output is what the final norm makes of it.
    if (i + 1 == arch_.encoder.layers && final_norm_) final_norm_->Run(x);
    TakeHidden(tasks, batch, i + 1, x);
  }
  TakeOutputs(tasks, scratch, x);
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

// Attention, then the feed-forward half, each added to its input. Normalised after the addition:
// Vaswani et al. 2017, "Attention Is All You Need", section 3.1. Before the sublayer: Xiong et al.
// 2020, "On Layer Normalization in the Transformer Architecture", table 1.
void Encoder::RunLayer(int32_t index, std::span<EncodeTask* const> tasks, Scratch& scratch,
                       Matrix x) const {
  const Layer& layer = layers_[index];
  if (arch_.encoder.norm_at == NormAt::kAfter) {
    RunAttention(index, tasks, scratch, x, x);
    layer.attention_norm->Run(x);
    layer.ffn.Run(x, scratch.workspace_, x);
    layer.ffn_norm.Run(x);
    return;
  }
  Workspace::Frame frame(scratch.workspace_);
  const Matrix normed = frame.TakeMatrix(x.rows, x.columns);
  if (layer.attention_norm) {
    layer.attention_norm->Run(x, normed);
    RunAttention(index, tasks, scratch, normed, x);
  } else {
    RunAttention(index, tasks, scratch, x, x);
  }
  layer.ffn_norm.Run(x, normed);
  layer.ffn.Run(normed, scratch.workspace_, x);
}

// residual += attention(x); they may be the same matrix.
void Encoder::RunAttention(int32_t index, std::span<EncodeTask* const> tasks, Scratch& scratch,
                           ConstMatrix x, Matrix residual) const {
  const Layer& layer = layers_[index];
  Workspace::Frame frame(scratch.workspace_);
  const Matrix qkv = frame.TakeMatrix(x.rows, layer.qkv.out());
  layer.qkv.Run(x, scratch.workspace_, qkv);
  const Matrix context = frame.TakeMatrix(x.rows, arch_.encoder.width());
  Attend(index, tasks, scratch, qkv, context);
  layer.out.Run(context, scratch.workspace_, residual);
}

void Encoder::Attend(int32_t index, std::span<EncodeTask* const> tasks, Scratch& scratch,
                     Matrix qkv, Matrix context) const {
  const bool local = layers_[index].local;
  const auto& kernels = local ? scratch.local_attention_ : scratch.attention_;
  const std::optional<Rotary>& rotary = local ? local_rotary_ : rotary_;
  const RelativeBias* bias = relative_bias_ ? &*relative_bias_ : nullptr;
  const PackedBatch& batch = scratch.batch_;
  for (int32_t i = 0; i < batch.sequence_count(); ++i) {
    const PackedBatch::Rows rows = batch.rows(i);
    const Matrix part = Part(qkv, rows);
    if (rotary) rotary->Run(part);
    const std::optional<AttentionTap> tap =
        TapOf(*tasks[i], index + 1, arch_.encoder.heads, rows.count());
    kernels[i]->Run(part.data, bias, scratch.workspace_, context.row(rows.begin),
                    tap ? &*tap : nullptr);
  }
  ClearPadding(context, batch.row_count());
}

}  // namespace attnd
