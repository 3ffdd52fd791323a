#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "core/batch/job.h"
#include "core/input/tokenizer.h"
#include "core/layers/pool.h"
#include "server/represent/spans.h"
#include "server/validate/served_model.h"

namespace attnd::testing {

inline constexpr int32_t kHidden = 4;

// What the numbers of a row depend on besides its token. A row's place makes the same token's
// numbers differ from window to window, as its context would.
struct StubNumbers {
  float column_step = 0;
  float row_step = 0;
};

// A model that isn't there: outputs are a function of the ids, and a gate holds the worker when a
// test wants a queue. It counts the jobs that it computes.
class StubModel {
 public:
  // Closes the gate: the next batch waits before it is computed.
  void Hold() {
    absl::MutexLock lock(&mutex_);
    open_ = false;
  }
  void Release() {
    absl::MutexLock lock(&mutex_);
    open_ = true;
  }
  // Returns when a batch waits at the closed gate.
  void AwaitHeld() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&held_));
  }
  // Whether the server knows by now that nobody waits for the batch at the gate, which it has one
  // job of.
  bool held_is_cancelled() const {
    absl::MutexLock lock(&mutex_);
    return held_cancelled_ != nullptr && *held_cancelled_;
  }
  int computed() const { return computed_; }
  void FailWith(absl::Status status) {
    absl::MutexLock lock(&mutex_);
    failure_ = std::move(status);
  }
  // What the model's head says about a task, whose outputs have their sizes. Set before the first
  // request.
  void FillWith(std::function<void(EncodeTask& task)> fill) { fill_ = std::move(fill); }
  // Before the first request.
  void set_numbers(StubNumbers numbers) { numbers_ = numbers; }

  absl::Status Step(std::span<Job* const> batch) {
    {
      absl::MutexLock lock(&mutex_);
      held_ = !open_;
      held_cancelled_ = batch.front()->cancelled;
      mutex_.Await(absl::Condition(&open_));
      held_ = false;
      if (!failure_.ok()) return failure_;
    }
    for (Job* job : batch) {
      computed_ += 1;
      if (auto* task = std::get_if<EncodeTask>(&job->task)) {
        Fill(*task);
        if (fill_) fill_(*task);
      }
      if (auto* task = std::get_if<AttendTask>(&job->task)) RunAttend(*task);
      if (auto* task = std::get_if<SelfAttentionTask>(&job->task)) RunSelfAttention(*task);
    }
    return absl::OkStatus();
  }

  static size_t RowsOf(const EncodeTask& task) {
    return task.ids.empty() ? task.embeddings.size() / kHidden : task.ids.size();
  }
  // The number of a task's row in the last layer; layer l's is 1000 * (l + 1) above it.
  float Value(const EncodeTask& task, size_t row, size_t column) const {
    const float token =
        task.ids.empty() ? task.embeddings[row * kHidden] : static_cast<float>(task.ids[row]);
    return token + numbers_.row_step * static_cast<float>(row) +
           numbers_.column_step * static_cast<float>(column);
  }
  static float Projected(float value, size_t column) {
    return column % 2 == 0 ? value : -2 * value;
  }
  static float Attention(int32_t layer, int32_t head, size_t query, size_t key) {
    return static_cast<float>(layer * 100 + head * 10) + static_cast<float>(query) +
           static_cast<float>(key) / 128;
  }
  static float Sparse(size_t row) { return static_cast<float>(row + 1) / 4; }

 private:
  void Fill(EncodeTask& task) const {
    const size_t rows = RowsOf(task);
    std::vector<float> values(rows * kHidden);
    for (size_t i = 0; i < values.size(); ++i) values[i] = Value(task, i / kHidden, i % kHidden);
    if (task.return_rows) task.rows_out = values;
    if (task.pooling) FillPooled(values, task);
    for (size_t l = 0; l < task.hidden_layers.size(); ++l) {
      const auto base = static_cast<float>(1000 * (task.hidden_layers[l] + 1));
      for (size_t i = 0; i < values.size(); ++i) {
        task.hidden_out[l * values.size() + i] = base + values[i];
      }
    }
    const size_t width = task.projection_out.size() / rows;
    for (size_t i = 0; i < task.projection_out.size(); ++i) {
      task.projection_out[i] = Projected(Value(task, i / width, 0), i % width);
    }
    for (size_t row = 0; row < rows && task.return_sparse; ++row) {
      float& weight = task.sparse_out[task.ids[row]];
      weight = std::max(weight, Sparse(row));
    }
    FillAttention(task, rows);
  }

  static void FillPooled(const std::vector<float>& values, EncodeTask& task) {
    const auto rows = static_cast<int64_t>(values.size() / kHidden);
    const bool pooler = *task.pooling == Pooling::kPooler;
    PoolRows({values.data(), rows, kHidden, kHidden}, pooler ? Pooling::kCls : *task.pooling,
             task.pooled_out.data());
    for (float& value : task.pooled_out) value = pooler ? -value : value;
    if (task.normalize) NormalizeLength(task.pooled_out.data(), kHidden);
  }

  static void FillAttention(EncodeTask& task, size_t rows) {
    size_t at = 0;
    for (const int32_t layer : task.attention_layers) {
      for (const int32_t head : task.attention_heads) {
        for (size_t i = 0; i < rows * rows; ++i, ++at) {
          const float value = Attention(layer, head, i / rows, i % rows);
          if (task.return_attention_weights) task.attention_weights_out[at] = value;
          if (task.return_attention_scores) task.attention_scores_out[at] = -value;
        }
      }
    }
  }

  mutable absl::Mutex mutex_;
  bool open_ = true;
  bool held_ = false;
  std::shared_ptr<const std::atomic<bool>> held_cancelled_;
  absl::Status failure_;
  std::atomic<int> computed_ = 0;
  StubNumbers numbers_;
  std::function<void(EncodeTask& task)> fill_;
};

class StubExecutor : public Executor {
 public:
  explicit StubExecutor(StubModel& model) : model_(model) {}
  absl::Status Step(std::span<Job* const> batch, Crew&) override { return model_.Step(batch); }

 private:
  StubModel& model_;
};

// The words of a WordPiece tokenizer's tokens: "##" goes on with one.
inline void NumberWords(Tokenized& tokens) {
  int32_t word = -1, text = -1;
  tokens.word_ids.assign(tokens.ids.size(), -1);
  for (size_t i = 0; i < tokens.strings.size(); ++i) {
    if (tokens.special[i] != 0) continue;
    if (tokens.text_indices[i] != text) word = -1;
    text = tokens.text_indices[i];
    if (!tokens.strings[i].starts_with("##")) ++word;
    tokens.word_ids[i] = word;
  }
}

inline size_t StubLogits(const ModelInfo& info, const EncodeTask& task) {
  const size_t rows = StubModel::RowsOf(task);
  switch (info.head) {
    case HeadKind::kNone:
      return 0;
    case HeadKind::kSequenceLabels:
      return info.labels.size();
    case HeadKind::kTokenLabels:
      return rows * info.labels.size();
    case HeadKind::kSpan:
      return rows * 2;
    case HeadKind::kVocabulary:
      return task.logit_rows.size() * info.vocabulary;
  }
  return 0;
}

inline void SizeStubOutputs(const ModelInfo& info, EncodeTask& task) {
  const size_t rows = StubModel::RowsOf(task);
  const size_t maps = task.attention_layers.size() * task.attention_heads.size();
  task.rows_out.resize(task.return_rows ? rows * kHidden : 0);
  task.pooled_out.resize(task.pooling ? kHidden : 0);
  task.hidden_out.resize(task.hidden_layers.size() * rows * kHidden);
  task.attention_weights_out.resize(task.return_attention_weights ? maps * rows * rows : 0);
  task.attention_scores_out.resize(task.return_attention_scores ? maps * rows * rows : 0);
  task.logits_out.resize(task.return_logits ? StubLogits(info, task) : 0);
  task.sparse_out.resize(task.return_sparse ? info.vocabulary : 0);
  const size_t width = info.projection > 0 ? info.projection : kHidden;
  task.projection_out.resize(task.return_projection ? rows * width : 0);
}

// The stub as the services see it, with a real tokenizer.
inline ServedModel StubServedModel(const Tokenizer* tokenizer) {
  ServedModel served;
  served.name = "stub";
  served.info = {.family = "bert",
                 .version = "0123456789abcdef",
                 .hidden = kHidden,
                 .layers = 2,
                 .heads = 2,
                 .vocabulary = tokenizer->id_end(),
                 .token_types = 2,
                 .length_max = 64,
                 .length_default = 32,
                 .pooling = Pooling::kMean,
                 .dtype = "f32",
                 .checkpoint_dtype = "F32"};
  served.isa = "none";
  served.onednn_version = "none";
  served.tokenize = [tokenizer](auto text, auto pair, const TokenizeOptions& options) {
    auto tokens = tokenizer->Encode(text, pair, options);
    if (tokens.ok()) NumberWords(*tokens);
    return tokens;
  };
  served.token_of = [tokenizer](int32_t id) { return tokenizer->TokenOf(id); };
  served.decode = [tokenizer](std::span<const int32_t> ids, bool skip_special_tokens) {
    return tokenizer->Decode(ids, skip_special_tokens);
  };
  served.size_outputs = [info = served.info](EncodeTask& task) { SizeStubOutputs(info, task); };
  return served;
}

}  // namespace attnd::testing
