#include "server/represent/outputs.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/layers/pool.h"
#include "core/model/pooling.h"
#include "server/represent/encoding.h"

namespace attnd {
namespace {

void WriteFloat32(std::span<const float> values, std::span<const int64_t> shape,
                  v1::Tensor& tensor) {
  SetShape(VectorEncoding::kFloat32, shape, tensor);
  const auto size = static_cast<int64_t>(values.size());
  AppendVectors({values.data(), 1, size, size}, VectorEncoding::kFloat32, tensor);
}

void WriteMean(std::span<const float> states, const StatesShape& shape, v1::Tensor& tensor) {
  const size_t size = static_cast<size_t>(shape.rows * shape.columns);
  std::vector<float> mean(states.begin(), states.begin() + static_cast<int64_t>(size));
  for (size_t layer = 1; layer < static_cast<size_t>(shape.layers); ++layer) {
    for (size_t i = 0; i < size; ++i) mean[i] += states[layer * size + i];
  }
  for (float& value : mean) value /= static_cast<float>(shape.layers);
  WriteFloat32(mean, std::array{shape.rows, shape.columns}, tensor);
}

void WriteConcatenation(std::span<const float> states, const StatesShape& shape,
                        v1::Tensor& tensor) {
  SetShape(VectorEncoding::kFloat32, std::array{shape.rows, shape.layers * shape.columns}, tensor);
  for (int64_t row = 0; row < shape.rows; ++row) {
    // The row of each layer, one layer apart.
    AppendVectors({states.data() + row * shape.columns, shape.layers, shape.columns,
                   shape.rows * shape.columns},
                  VectorEncoding::kFloat32, tensor);
  }
}

double SumOfProducts(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * double{b[i]};
  return sum;
}

std::vector<double> Lengths(std::span<const std::span<const float>> vectors) {
  std::vector<double> lengths;
  lengths.reserve(vectors.size());
  for (const auto& vector : vectors) lengths.push_back(std::sqrt(SumOfProducts(vector, vector)));
  return lengths;
}

}  // namespace

void FinishPooled(const PooledChoices& choices, int32_t hidden, EncodeTask& task) {
  if (!choices.pooling) return;
  if (!task.pooling) {
    const int64_t rows = static_cast<int64_t>(task.rows_out.size()) / hidden;
    task.pooled_out.resize(static_cast<size_t>(hidden));
    PoolRows({task.rows_out.data(), rows, hidden, hidden}, *choices.pooling,
             task.pooled_out.data());
  }
  task.pooled_out.resize(static_cast<size_t>(choices.dimensions));
  if (choices.normalize && !task.normalize) {
    NormalizeLength(task.pooled_out.data(), choices.dimensions);
  }
}

void WriteHiddenLayers(std::span<const float> states, const StatesShape& shape,
                       LayerCombination combination, v1::Encoding& encoding) {
  const int64_t size = shape.rows * shape.columns;
  switch (combination) {
    case LayerCombination::kSeparate:
      for (int64_t layer = 0; layer < shape.layers; ++layer) {
        WriteFloat32(states.subspan(layer * size, size), std::array{shape.rows, shape.columns},
                     *encoding.add_hidden_layers());
      }
      break;
    case LayerCombination::kMean:
      WriteMean(states, shape, *encoding.add_hidden_layers());
      break;
    case LayerCombination::kConcatenation:
      WriteConcatenation(states, shape, *encoding.add_hidden_layers());
      break;
  }
}

void WriteAttention(const EncodeTask& task, std::span<const int32_t> heads, int64_t rows,
                    v1::Encoding& encoding) {
  const std::array shape{static_cast<int64_t>(heads.size()), rows, rows};
  const auto size = static_cast<size_t>(shape[0] * rows * rows);
  const auto write = [&](const std::vector<float>& all, size_t layer, v1::Tensor& tensor) {
    WriteFloat32(std::span(all).subspan(layer * size, size), shape, tensor);
  };
  for (size_t layer = 0; layer < task.attention_layers.size(); ++layer) {
    v1::AttentionMap& map = *encoding.add_attention();
    map.set_layer(task.attention_layers[layer]);
    map.mutable_heads()->Assign(heads.begin(), heads.end());
    if (task.return_attention_weights) {
      write(task.attention_weights_out, layer, *map.mutable_weights());
    }
    if (task.return_attention_scores) {
      write(task.attention_scores_out, layer, *map.mutable_scores());
    }
  }
}

int32_t MultiVectorWidth(const ModelInfo& info) {
  return info.projection > 0 ? info.projection : info.hidden;
}

void FinishMultiVectors(const ModelInfo& info, std::vector<float>& vectors) {
  const int32_t width = MultiVectorWidth(info);
  for (size_t at = 0; at < vectors.size(); at += static_cast<size_t>(width)) {
    NormalizeLength(vectors.data() + at, width);
  }
}

void WriteSparse(std::span<const float> weights, int32_t top_k,
                 const std::function<std::optional<std::string>(int32_t id)>* token_of,
                 v1::SparseVector& sparse) {
  std::vector<int32_t> ids;
  for (size_t id = 0; id < weights.size(); ++id) {
    if (weights[id] > 0) ids.push_back(static_cast<int32_t>(id));
  }
  if (static_cast<int64_t>(ids.size()) > top_k) {
    std::nth_element(ids.begin(), ids.begin() + top_k, ids.end(), [&](int32_t a, int32_t b) {
      return weights[a] != weights[b] ? weights[a] > weights[b] : a < b;
    });
    ids.resize(static_cast<size_t>(top_k));
    std::sort(ids.begin(), ids.end());
  }
  for (const int32_t id : ids) {
    sparse.add_ids(id);
    sparse.add_weights(weights[id]);
    if (token_of != nullptr) sparse.add_tokens((*token_of)(id).value_or(""));
  }
}

int64_t SparseBytesMax(const SparseSize& size) {
  // A varint has 7 bits a byte.
  int64_t id_bytes = 1;
  for (int64_t rest = size.vocabulary >> 7; rest > 0; rest >>= 7) ++id_bytes;
  constexpr int64_t kTagsAndLengths = 2 * (1 + 5);
  return kTagsAndLengths +
         std::min(size.vocabulary, size.top_k) * (id_bytes + static_cast<int64_t>(sizeof(float)));
}

std::vector<float> Cosines(std::span<const std::span<const float>> sources,
                           std::span<const std::span<const float>> targets) {
  const std::vector<double> source_lengths = Lengths(sources);
  const std::vector<double> target_lengths = Lengths(targets);
  std::vector<float> cosines;
  cosines.reserve(sources.size() * targets.size());
  for (size_t i = 0; i < sources.size(); ++i) {
    for (size_t j = 0; j < targets.size(); ++j) {
      const double lengths = source_lengths[i] * target_lengths[j];
      const double cosine = lengths > 0 ? SumOfProducts(sources[i], targets[j]) / lengths : 0;
      cosines.push_back(static_cast<float>(std::clamp(cosine, -1.0, 1.0)));
    }
  }
  return cosines;
}

void WriteTokens(const Tokenized& from, v1::Tokens& to) {
  to.mutable_ids()->Assign(from.ids.begin(), from.ids.end());
  to.mutable_type_ids()->Assign(from.types.begin(), from.types.end());
  to.mutable_strings()->Assign(from.strings.begin(), from.strings.end());
  to.mutable_text_indices()->Assign(from.text_indices.begin(), from.text_indices.end());
  to.mutable_special()->Assign(from.special.begin(), from.special.end());
  to.mutable_word_ids()->Assign(from.word_ids.begin(), from.word_ids.end());
  for (const Tokenized::Offset& offset : from.offsets) {
    to.add_starts(offset.start);
    to.add_ends(offset.end);
  }
}

}  // namespace attnd
