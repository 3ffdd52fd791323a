#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/show/heat_map.h"
#include "client/types.h"

// What `attnctl attention` makes of a reply.
namespace attnd::client {

// Which attention was asked for, of how many layers.
struct AttentionChoice {
  int32_t layer_count = 0;
  std::optional<int32_t> head = {};  // Absent: the mean of all.
};

// One matrix over the tokens of one input.
struct TokenAttention {
  std::string model;
  std::string model_version;
  AttentionChoice choice;
  int32_t layer = 0;           // From 1.
  std::vector<int32_t> heads;  // Those that the weights are the mean of.
  std::vector<Token> tokens;
  std::vector<float> weights;  // [tokens, tokens]: what each (row) takes from each (column).
};

// kInternal unless the reply has one encoding with tokens and one map of weights over them.
absl::StatusOr<TokenAttention> ReadAttention(const EncodeReply& reply,
                                             const AttentionChoice& choice);

// Without the rows and columns of special tokens; the rest stays as it is, so that rows then sum to
// less than 1.
TokenAttention WithoutSpecialTokens(const TokenAttention& attention);

// To be drawn: the model, "layer 6 of 6, head 3" and the tokens.
HeatMap ToHeatMap(const TokenAttention& attention);

// {"text", "text_pair", "layer", "head": number or "mean", "heads", "tokens", "offsets",
// "text_indices", "special", "weights": [tokens][tokens], "model", "model_version"} in one line.
std::string FormatAttentionMap(const Input& input, const TokenAttention& attention);

}  // namespace attnd::client
