#include "core/model/encoder.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/layers/pool.h"

namespace attnd {
namespace {

int64_t RowsOf(const EncodeTask& task, int64_t hidden) {
  return task.embeddings.empty() ? static_cast<int64_t>(task.ids.size())
                                 : static_cast<int64_t>(task.embeddings.size()) / hidden;
}

Matrix Part(Matrix x, PackedBatch::Rows rows) {
  return {x.row(rows.begin), rows.count(), x.columns, x.stride};
}
ConstMatrix Part(ConstMatrix x, PackedBatch::Rows rows) {
  return {x.row(rows.begin), rows.count(), x.columns, x.stride};
}

// Zeroes the rows past the last token: what a Linear reads there must be finite, or slow denormals
// could stand in it.
void ClearPadding(Matrix x, int64_t rows) {
  std::fill(x.row(rows), x.data + x.rows * x.stride, 0.0f);
}

// Copies the layer's output to each task that asked for it.
void TakeHidden(std::span<EncodeTask* const> tasks, const PackedBatch& batch, int32_t layer,
                ConstMatrix x) {
  for (size_t i = 0; i < tasks.size(); ++i) {
    EncodeTask& task = *tasks[i];
    const ConstMatrix rows = Part(x, batch.rows(static_cast<int32_t>(i)));
    const int64_t size = rows.rows * rows.columns;
    for (size_t place = 0; place < task.hidden_layers.size(); ++place) {
      if (task.hidden_layers[place] != layer) continue;
      std::copy_n(rows.data, size, task.hidden_out.data() + static_cast<int64_t>(place) * size);
    }
  }
}

}  // namespace

Encoder::Scratch::Scratch(const Encoder& encoder) : workspace_(encoder.WorkspaceBytes()) {}

absl::Status Encoder::Run(std::span<EncodeTask* const> tasks, Scratch& scratch) const {
  PackedBatch& batch = scratch.batch_;
  batch.Clear();
  scratch.attention_.clear();
  for (const EncodeTask* task : tasks) {
    const auto rows = static_cast<int32_t>(RowsOf(*task, arch_.hidden));
    batch.Append(rows);
    ASSIGN_OR_RETURN(auto kernels, attention_kernels_->Get(rows));
    scratch.attention_.push_back(std::move(kernels));
  }
  CHECK_THAT(batch.row_count() <= options_.batch_rows_max);

  Workspace::Frame frame(scratch.workspace_);
  const Matrix x = frame.TakeMatrix(RoundUpRows(batch.row_count()), arch_.hidden);
  EmbedBatch(tasks, batch, x);
  TakeHidden(tasks, batch, 0, x);
  for (size_t i = 0; i < layers_.size(); ++i) {
    RunLayer(layers_[i], scratch, x);
    TakeHidden(tasks, batch, static_cast<int32_t>(i) + 1, x);
  }
  Pool(tasks, scratch, x);
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

// Attention, then the feed-forward half, each added to its input and normalised after it.
// Vaswani et al. 2017, "Attention Is All You Need", section 3.1.
void Encoder::RunLayer(const Layer& layer, Scratch& scratch, Matrix x) const {
  {
    Workspace::Frame frame(scratch.workspace_);
    const Matrix qkv = frame.TakeMatrix(x.rows, layer.qkv.out());
    layer.qkv.Run(x, scratch.workspace_, qkv);
    const Matrix context = frame.TakeMatrix(x.rows, arch_.hidden);
    Attend(scratch, qkv, context);
    layer.out.Run(context, scratch.workspace_, x);
  }
  layer.attention_norm.Run(x);
  layer.ffn.Run(x, scratch.workspace_, x);
  layer.ffn_norm.Run(x);
}

void Encoder::Attend(Scratch& scratch, ConstMatrix qkv, Matrix context) const {
  const PackedBatch& batch = scratch.batch_;
  for (int32_t i = 0; i < batch.sequence_count(); ++i) {
    const int64_t row = batch.rows(i).begin;
    scratch.attention_[i]->Run(qkv.row(row), scratch.workspace_, context.row(row));
  }
  ClearPadding(context, batch.row_count());
}

void Encoder::Pool(std::span<EncodeTask* const> tasks, Scratch& scratch, ConstMatrix x) const {
  RunPooler(tasks, scratch, x);
  for (size_t i = 0; i < tasks.size(); ++i) {
    EncodeTask& task = *tasks[i];
    const ConstMatrix rows = Part(x, scratch.batch_.rows(static_cast<int32_t>(i)));
    if (task.return_rows) std::copy_n(rows.data, rows.rows * rows.columns, task.rows_out.data());
    if (!task.pooling) continue;
    float* out = task.pooled_out.data();
    switch (*task.pooling) {
      case Pooling::kCls:
        PoolRow(rows, 0, out);
        break;
      case Pooling::kMean:
        PoolMean(rows, out);
        break;
      case Pooling::kMax:
        PoolMax(rows, out);
        break;
      case Pooling::kLast:
        PoolRow(rows, rows.rows - 1, out);
        break;
      case Pooling::kPooler:  // Done, for all tasks at once.
        break;
    }
    if (task.normalize) NormalizeLength(out, arch_.hidden);
  }
}

// BERT's pooler, tanh(W x_0 + b), for the tasks that ask for it, kRowStep at a time.
void Encoder::RunPooler(std::span<EncodeTask* const> tasks, Scratch& scratch, ConstMatrix x) const {
  Workspace::Frame frame(scratch.workspace_);
  const Matrix firsts = frame.TakeMatrix(kRowStep, arch_.hidden);
  const Matrix pooled = frame.TakeMatrix(kRowStep, arch_.hidden);
  std::array<EncodeTask*, kRowStep> group{};
  int64_t count = 0;
  const auto flush = [&] {
    ClearPadding(firsts, count);
    pooler_->Run(firsts, scratch.workspace_, pooled);
    for (int64_t row = 0; row < count; ++row) {
      std::copy_n(pooled.row(row), arch_.hidden, group[row]->pooled_out.data());
    }
    count = 0;
  };
  for (size_t i = 0; i < tasks.size(); ++i) {
    if (tasks[i]->pooling != Pooling::kPooler) continue;
    CHECK_THAT(pooler_.has_value());
    const int64_t first = scratch.batch_.rows(static_cast<int32_t>(i)).begin;
    std::copy_n(x.row(first), arch_.hidden, firsts.row(count));
    group[count++] = tasks[i];
    if (count == kRowStep) flush();
  }
  if (count > 0) flush();
}

}  // namespace attnd
