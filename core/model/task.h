#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/model/arch.h"

namespace attnd {

// One sequence to encode, and where its results go. Validated before it is made: ids lie within the
// vocabulary, the length is within the model's, embeddings are finite, layers and heads exist, and
// what is asked for is what the model has (ModelInfo). The output vectors have their sizes before
// the task is submitted (Model::SizeOutputs), so that a worker allocates nothing.
struct EncodeTask {
  // Input: either ids (and types, empty for all zero), or embeddings [rows, hidden].
  std::vector<int32_t> ids;
  std::vector<int32_t> types;
  std::vector<float> embeddings;

  bool return_rows = false;
  std::optional<Pooling> pooling;  // Absent: no pooled vector.
  bool normalize = false;          // Scale the pooled vector to length 1.
  // Layers to return as well: 0 is the embedding's output, N that of layer N.
  std::vector<int32_t> hidden_layers;

  // Layers, 1 being the first, and heads, 0 being the first, whose attention is returned; no heads:
  // all.
  std::vector<int32_t> attention_layers;
  std::vector<int32_t> attention_heads;
  bool return_attention_weights = false;
  bool return_attention_scores = false;  // Scaled and biased; -Inf outside a local window.

  // The head's logits: of the sequence, of every row, or of `logit_rows` alone, by the head's kind.
  bool return_logits = false;
  std::vector<int32_t> logit_rows;  // HeadKind::kVocabulary: the rows wanted, at least one.
  bool return_sparse = false;       // HeadKind::kVocabulary.
  bool return_projection = false;   // Every row through the projection, or the row itself.

  std::vector<float> rows_out;    // [rows, hidden]
  std::vector<float> pooled_out;  // [hidden]
  std::vector<float> hidden_out;  // [hidden_layers.size(), rows, hidden]
  // Each [attention_layers.size(), heads, rows, rows], heads being those asked for.
  std::vector<float> attention_weights_out;
  std::vector<float> attention_scores_out;
  // HeadKind::kSequenceLabels: [labels]. kTokenLabels: [rows, labels]. kSpan: [rows, 2], start and
  // end. kVocabulary: [logit_rows.size(), vocabulary].
  std::vector<float> logits_out;
  // [vocabulary]: max over rows of log(1 + ReLU(logit)). Formal et al. 2021, "SPLADE v2",
  // equation 6.
  std::vector<float> sparse_out;
  // [rows, ModelInfo::projection], or [rows, hidden] without one. Not scaled to length 1.
  std::vector<float> projection_out;
};

// All outputs of a task, for what treats them alike.
inline constexpr std::array kEncodeOutputs = {&EncodeTask::rows_out,
                                              &EncodeTask::pooled_out,
                                              &EncodeTask::hidden_out,
                                              &EncodeTask::attention_weights_out,
                                              &EncodeTask::attention_scores_out,
                                              &EncodeTask::logits_out,
                                              &EncodeTask::sparse_out,
                                              &EncodeTask::projection_out};

// What the task computes, by content: the SHA-256 of its input and of what it asks for. A model
// gives tasks of equal keys equal outputs, to the bit (batch invariance).
std::string ContentKey(const EncodeTask& task);

}  // namespace attnd
