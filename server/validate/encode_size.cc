#include "server/validate/encode_size.h"

#include <span>
#include <string>

#include "server/represent/encoding.h"
#include "server/represent/outputs.h"

namespace attnd {
namespace {

constexpr auto kFloatBytes = static_cast<int64_t>(sizeof(float));

// Upper bounds on the wire: of a varint of a number from 0 up, and below; and of a field's tag with
// its length.
constexpr int64_t kCountBytes = 5;
constexpr int64_t kNegativeBytes = 10;
constexpr int64_t kHeaderBytes = 1 + 1 + 5;
// One token in `Tokens`: four int32, two that may be -1, a bool, and the header of its string.
constexpr int64_t kTokenBytes = 4 * kCountBytes + 2 * kNegativeBytes + 1 + kHeaderBytes;
// A Tensor without its numbers: itself, type, at most three dimensions, and the headers of shape,
// data and scales.
constexpr int64_t kTensorBytes = 4 * kHeaderBytes + 2 + 3 * kNegativeBytes;
constexpr int64_t kSpanBytes = kHeaderBytes + 4 * (1 + kCountBytes) + (1 + kNegativeBytes);
constexpr int64_t kWindowBytes = kHeaderBytes + 2 * (1 + kCountBytes);

int64_t AttentionBytes(const EncodeTask& task, int64_t rows) {
  const auto maps =
      static_cast<int64_t>(task.attention_layers.size() * task.attention_heads.size()) *
      ((task.return_attention_weights ? 1 : 0) + (task.return_attention_scores ? 1 : 0));
  return maps * rows * rows * kFloatBytes;
}

int64_t HiddenLayersBytes(const EncodeChoices& choices, int64_t rows, const ModelInfo& info) {
  const auto layers = static_cast<int64_t>(choices.hidden_layers.size());
  if (layers == 0) return 0;
  const int64_t matrices = choices.layer_combination == LayerCombination::kMean ? 1 : layers;
  return layers * kTensorBytes + matrices * rows * info.hidden * kFloatBytes;
}

int64_t AttentionMapsBytes(const EncodeChoices& choices, int64_t rows) {
  const auto layers = static_cast<int64_t>(choices.attention_layers.size());
  const auto heads = static_cast<int64_t>(choices.attention_heads.size());
  const int64_t tensors =
      (choices.return_attention_weights ? 1 : 0) + (choices.return_attention_scores ? 1 : 0);
  return layers * (2 * kHeaderBytes + (1 + kCountBytes) + heads * kCountBytes +
                   tensors * (kTensorBytes + heads * rows * rows * kFloatBytes));
}

int64_t SparseBytes(const EncodeChoices& choices, const ServedModel& model) {
  if (!choices.return_sparse) return 0;
  const int64_t strings =
      choices.return_tokens ? model.vocabulary_bytes.tokens.Sum(choices.sparse_top_k) : 0;
  return kHeaderBytes + strings +
         SparseBytesMax({.vocabulary = model.info.vocabulary, .top_k = choices.sparse_top_k});
}

}  // namespace

int64_t TaskBytes(const EncodeTask& task, int64_t rows, const ModelInfo& info) {
  const int64_t hidden = int64_t{info.hidden} * kFloatBytes;
  int64_t bytes = static_cast<int64_t>((task.ids.size() + task.types.size()) * sizeof(int32_t) +
                                       task.embeddings.size() * sizeof(float));
  if (task.return_rows) bytes += rows * hidden;
  if (task.pooling) bytes += hidden;
  bytes += static_cast<int64_t>(task.hidden_layers.size()) * rows * hidden;
  if (!task.attention_layers.empty()) bytes += AttentionBytes(task, rows);
  if (task.return_sparse) bytes += int64_t{info.vocabulary} * kFloatBytes;
  if (task.return_projection) bytes += rows * MultiVectorWidth(info) * kFloatBytes;
  return bytes;
}

int64_t TokensBytes(const Tokenized& tokens) {
  int64_t bytes = kEncodingBytes + static_cast<int64_t>(tokens.ids.size()) * kTokenBytes;
  for (const std::string& text : tokens.strings) bytes += static_cast<int64_t>(text.size());
  return bytes;
}

VocabularySizes VocabularyBytes(const ServedModel& model) {
  VocabularySizes sizes;
  if (model.info.head != HeadKind::kVocabulary) return sizes;
  for (int32_t id = 0; id < model.info.vocabulary; ++id) {
    const std::string token = model.token_of ? model.token_of(id).value_or("") : "";
    const std::string text =
        model.decode ? model.decode(std::span(&id, 1), false).value_or("") : "";
    const int64_t token_bytes = StringFieldBytes(token.size());
    sizes.tokens.Add(token_bytes);
    sizes.candidates.Add(token_bytes + StringFieldBytes(text.size()));
  }
  return sizes;
}

int64_t RowBytes(const EncodeChoices& choices) {
  return EncodedBytes(choices.vector_encoding, choices.pooled.dimensions);
}

int64_t FixedBytes(const PlannedInput& input, const EncodeChoices& choices,
                   const ServedModel& model) {
  const int64_t rows = input.token_count;
  int64_t bytes = kEncodingBytes;
  if (choices.pooled.pooling) bytes += RowBytes(choices);
  if (choices.return_tokens) bytes += TokensBytes(input.tokens);
  bytes += HiddenLayersBytes(choices, rows, model.info);
  if (!choices.attention_layers.empty()) bytes += AttentionMapsBytes(choices, rows);
  if (choices.spans) {
    bytes +=
        kTensorBytes + static_cast<int64_t>(input.spans.size()) * (kSpanBytes + RowBytes(choices));
  }
  bytes += SparseBytes(choices, model);
  if (choices.return_multi_vector) {
    bytes += kTensorBytes + input.rows_sent() *
                                EncodedBytes(choices.vector_encoding, MultiVectorWidth(model.info));
  }
  if (input.kept_tokens) {
    bytes += kHeaderBytes + static_cast<int64_t>(input.kept_tokens->size()) * kCountBytes;
  }
  return bytes + static_cast<int64_t>(input.windows.size()) * kWindowBytes;
}

}  // namespace attnd
