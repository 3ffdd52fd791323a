#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "attnd/v1/encoder.pb.h"
#include "core/input/tokenizer.h"
#include "core/model/arch.h"
#include "server/represent/encoding.h"
#include "server/represent/outputs.h"
#include "server/represent/spans.h"
#include "server/validate/limits.h"
#include "server/validate/served_model.h"

namespace attnd {

enum class SpanKind { kWords, kSentences, kRanges, kChunks };

struct SpanChoices {
  SpanKind kind = SpanKind::kWords;
  Pooling pooling = Pooling::kMean;
  Chunking chunking;  // SpanKind::kChunks.
};

struct WindowChoices {
  int32_t length = 0;  // Special tokens included.
  std::optional<int32_t> stride;
};

// Text put before each single text. One that the request asks for is refused for other inputs; the
// model's default leaves them alone.
struct PromptChoices {
  std::string text;
  bool is_asked_for = false;
};

// EncodeOptions with every default filled in, and layers and heads by their numbers.
struct EncodeChoices {
  PooledChoices pooled;
  bool return_token_vectors = false;
  bool return_tokens = false;
  bool return_sparse = false;
  int32_t sparse_top_k = 0;  // Where there are sparse weights, at least 1.
  bool return_multi_vector = false;
  bool drop_special_tokens = false;
  VectorEncoding vector_encoding = VectorEncoding::kFloat32;

  std::vector<int32_t> hidden_layers;  // 0 .. layers. Empty: none.
  LayerCombination layer_combination = LayerCombination::kSeparate;
  std::vector<int32_t> attention_layers;  // 1 .. layers. Empty: none.
  std::vector<int32_t> attention_heads;   // Where there are layers, at least one.
  bool return_attention_weights = false;
  bool return_attention_scores = false;

  std::optional<SpanChoices> spans;
  std::optional<WindowChoices> windows;
  PromptChoices prompt;
  TokenizeOptions tokenize;  // Truncation and maximum length hold for ids and embeddings too.
};

absl::StatusOr<EncodeChoices> ReadOptions(const v1::EncodeOptions& options,
                                          const ServedModel& model, const Limits& limits);

}  // namespace attnd
