// What tasks want of the rows: copies, pooled vectors, scores.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "core/base/check.h"
#include "core/layers/pool.h"
#include "core/model/encoder.h"
#include "core/model/pooling.h"

namespace attnd {
namespace {

// The task's rows of the batch, all of them, or those that it names.
template <typename Use>
void WithRows(std::span<const int32_t> named, int64_t count, Workspace& workspace, Use use) {
  if (!named.empty()) return use(named);
  Workspace::Frame frame(workspace);
  auto* all = static_cast<int32_t*>(frame.TakeBytes(static_cast<size_t>(count) * sizeof(int32_t)));
  std::iota(all, all + count, 0);
  use(std::span<const int32_t>(all, static_cast<size_t>(count)));
}

}  // namespace

// Copies the layer's output to each task that asked for it.
void Encoder::TakeHidden(std::span<EncodeTask* const> tasks, const PackedBatch& batch,
                         int32_t layer, ConstMatrix x) const {
  for (size_t i = 0; i < tasks.size(); ++i) {
    EncodeTask& task = *tasks[i];
    if (task.hidden_layers.empty()) continue;
    const ConstMatrix rows = Part(x, batch.rows(static_cast<int32_t>(i)));
    const int64_t size = rows.rows * rows.columns;
    for (size_t place = 0; place < task.hidden_layers.size(); ++place) {
      if (task.hidden_layers[place] != layer) continue;
      std::copy_n(rows.data, size, task.hidden_out.data() + static_cast<int64_t>(place) * size);
    }
  }
}

void Encoder::TakeOutputs(std::span<EncodeTask* const> tasks, Scratch& scratch,
                          ConstMatrix x) const {
  RunPooler(tasks, scratch, x);
  RunSequenceHead(tasks, scratch, x);
  for (size_t i = 0; i < tasks.size(); ++i) {
    EncodeTask& task = *tasks[i];
    const ConstMatrix rows = Part(x, scratch.batch_.rows(static_cast<int32_t>(i)));
    if (task.return_rows) std::copy_n(rows.data, rows.rows * rows.columns, task.rows_out.data());
    RunRowHeads(task, rows, scratch.workspace_);
    if (!task.pooling) continue;
    if (*task.pooling != Pooling::kPooler) PoolRows(rows, *task.pooling, task.pooled_out.data());
    if (task.normalize) NormalizeLength(task.pooled_out.data(), arch_.hidden);
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
    std::fill(firsts.row(count), firsts.data + firsts.rows * firsts.stride, 0.0f);
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

// Labels of whole sequences, for the tasks that ask for them, Head::kTileRows at a time.
void Encoder::RunSequenceHead(std::span<EncodeTask* const> tasks, Scratch& scratch,
                              ConstMatrix x) const {
  const auto wants = [](const EncodeTask* task) { return task->return_logits; };
  if (arch_.head.kind != HeadKind::kSequenceLabels ||
      std::none_of(tasks.begin(), tasks.end(), wants))
    return;
  CHECK_THAT(head_.has_value());
  Workspace::Frame frame(scratch.workspace_);
  const Matrix pooled = frame.TakeMatrix(Head::kTileRows, arch_.hidden);
  const Matrix logits = frame.TakeMatrix(Head::kTileRows, head_->outputs());
  std::array<EncodeTask*, Head::kTileRows> group{};
  int64_t count = 0;
  const auto flush = [&] {
    WithRows({}, count, scratch.workspace_, [&](std::span<const int32_t> rows) {
      head_->Run(pooled, rows, scratch.workspace_, logits.data);
    });
    for (int64_t row = 0; row < count; ++row) {
      std::copy_n(logits.row(row), logits.columns, group[row]->logits_out.data());
    }
    count = 0;
  };
  for (size_t i = 0; i < tasks.size(); ++i) {
    if (!tasks[i]->return_logits) continue;
    PoolRows(Part(x, scratch.batch_.rows(static_cast<int32_t>(i))), arch_.head.pooling,
             pooled.row(count));
    group[count++] = tasks[i];
    if (count == Head::kTileRows) flush();
  }
  if (count > 0) flush();
}

// What is computed for each row of one task.
void Encoder::RunRowHeads(EncodeTask& task, ConstMatrix rows, Workspace& workspace) const {
  if (task.return_logits && arch_.head.kind != HeadKind::kSequenceLabels) {
    CHECK_THAT(head_.has_value());
    WithRows(task.logit_rows, rows.rows, workspace, [&](std::span<const int32_t> wanted) {
      CHECK_THAT(task.logits_out.size() == wanted.size() * static_cast<size_t>(head_->outputs()));
      head_->Run(rows, wanted, workspace, task.logits_out.data());
    });
  }
  if (task.return_sparse) {
    CHECK_THAT(head_.has_value() && arch_.head.kind == HeadKind::kVocabulary);
    head_->RunMax(rows, workspace, task.sparse_out.data());
    // Both functions rise, so that they may follow the maximum.
    for (float& weight : task.sparse_out) weight = std::log1p(std::max(weight, 0.0f));
  }
  if (!task.return_projection) return;
  if (!projection_) {
    std::copy_n(rows.data, rows.rows * rows.columns, task.projection_out.data());
    return;
  }
  WithRows({}, rows.rows, workspace, [&](std::span<const int32_t> all) {
    projection_->Run(rows, all, workspace, task.projection_out.data());
  });
}

}  // namespace attnd
