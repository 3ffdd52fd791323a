#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "attnd/v1/encoder.pb.h"
#include "core/input/tokenizer.h"
#include "core/model/model_info.h"
#include "core/model/task.h"

namespace attnd {

// What becomes of several layers' hidden states.
enum class LayerCombination { kSeparate, kMean, kConcatenation };

// How the pooled vector is wanted; the engine may have done some of it (FinishPooled).
struct PooledChoices {
  std::optional<Pooling> pooling;  // Absent: no pooled vector.
  bool normalize = false;
  int32_t dimensions = 0;  // 1 .. hidden
};

// Makes `task.pooled_out`, of a task that is done, the vector that is sent: pools rows_out [rows,
// hidden] where the engine was not asked to pool, keeps the first dimensions, and scales what is
// left to length 1 where the engine was not asked to. Where it did all of it, nothing is touched.
void FinishPooled(const PooledChoices& choices, int32_t hidden, EncodeTask& task);

// Adds `combination` of `states` [layers, rows, columns] to `encoding.hidden_layers`. Sums are in
// the order of the layers.
struct StatesShape {
  int64_t layers = 0;
  int64_t rows = 0;
  int64_t columns = 0;
};
void WriteHiddenLayers(std::span<const float> states, const StatesShape& shape,
                       LayerCombination combination, v1::Encoding& encoding);

// Adds one map for each of the task's layers. `heads` are those asked for, none left to be filled
// in.
void WriteAttention(const EncodeTask& task, std::span<const int32_t> heads, int64_t rows,
                    v1::Encoding& encoding);

// Numbers of one multi-vector.
int32_t MultiVectorWidth(const ModelInfo& info);
// Scales each to length 1; `vectors` is [tokens, MultiVectorWidth].
void FinishMultiVectors(const ModelInfo& info, std::vector<float>& vectors);

// The `top_k` largest weights above 0, of equal ones those of lower ids, by rising id; with the
// ids' tokens if `token_of` is given. Not more than SparseBytesMax without them.
void WriteSparse(std::span<const float> weights, int32_t top_k,
                 const std::function<std::optional<std::string>(int32_t id)>* token_of,
                 v1::SparseVector& sparse);
struct SparseSize {
  int64_t vocabulary = 0;
  int64_t top_k = 0;
};
int64_t SparseBytesMax(const SparseSize& size);

// The cosine of each source with each target, [sources, targets]: sums in double precision, between
// -1 and 1, 0 for a vector of length 0. All vectors have one size.
std::vector<float> Cosines(std::span<const std::span<const float>> sources,
                           std::span<const std::span<const float>> targets);

// The tokens of one input, as parallel arrays.
void WriteTokens(const Tokenized& from, v1::Tokens& to);

}  // namespace attnd
