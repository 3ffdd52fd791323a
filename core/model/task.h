#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/model/arch.h"

namespace attnd {

// One sequence to encode, and where its results go. Validated before it is made: ids lie within the
// vocabulary, the length is within the position table, embeddings are finite. The output vectors
// have their sizes before the task is submitted (Model::SizeOutputs), so that a worker allocates
// nothing.
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

  std::vector<float> rows_out;    // [rows, hidden]
  std::vector<float> pooled_out;  // [hidden]
  std::vector<float> hidden_out;  // [hidden_layers.size(), rows, hidden]
};

}  // namespace attnd
