#include "client/commands/attention_map.h"

#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/commands/input_json.h"
#include "client/commands/json_text.h"
#include "client/commands/representation_json.h"

namespace attnd::client {
namespace {

// [heads, tokens, tokens] to [tokens, tokens], summed in double.
std::vector<float> MeanOfHeads(const Tensor& weights) {
  const size_t head_count = static_cast<size_t>(weights.shape[0]);
  const size_t size = weights.values.size() / head_count;
  std::vector<float> mean(size);
  for (size_t i = 0; i < size; ++i) {
    double sum = 0;
    for (size_t head = 0; head < head_count; ++head) sum += weights.values[head * size + i];
    mean[i] = static_cast<float>(sum / static_cast<double>(head_count));
  }
  return mean;
}

std::string DescribeChoice(const TokenAttention& attention) {
  if (attention.choice.head) return absl::StrCat("head ", *attention.choice.head);
  return absl::StrCat("mean of ", attention.heads.size(), " heads");
}

}  // namespace

absl::StatusOr<TokenAttention> ReadAttention(const EncodeReply& reply,
                                             const AttentionChoice& choice) {
  if (reply.encodings.size() != 1 || reply.encodings[0].attention.size() != 1) {
    return absl::InternalError("the reply has not the one attention map that was asked for");
  }
  const Encoding& encoding = reply.encodings[0];
  const AttentionMap& map = encoding.attention[0];
  const auto token_count = static_cast<int64_t>(encoding.tokens.size());
  const Tensor& weights = map.weights;
  if (token_count == 0 || weights.shape.size() != 3 || weights.shape[0] == 0 ||
      weights.shape[1] != token_count || weights.shape[2] != token_count) {
    return absl::InternalError("the reply's attention map is not one over its tokens");
  }
  return TokenAttention{.model = reply.model,
                        .model_version = reply.model_version,
                        .choice = choice,
                        .layer = map.layer,
                        .heads = map.heads,
                        .tokens = encoding.tokens,
                        .weights = MeanOfHeads(weights)};
}

TokenAttention WithoutSpecialTokens(const TokenAttention& attention) {
  TokenAttention result = attention;
  result.tokens.clear();
  result.weights.clear();
  const size_t count = attention.tokens.size();
  for (size_t row = 0; row < count; ++row) {
    if (attention.tokens[row].special) continue;
    result.tokens.push_back(attention.tokens[row]);
    for (size_t column = 0; column < count; ++column) {
      if (attention.tokens[column].special) continue;
      result.weights.push_back(attention.weights[row * count + column]);
    }
  }
  return result;
}

HeatMap ToHeatMap(const TokenAttention& attention) {
  HeatMap map{
      .title = attention.model,
      .subtitle = absl::StrCat("layer ", attention.layer, " of ", attention.choice.layer_count,
                               ", ", DescribeChoice(attention)),
      .row_axis = "token that attends",
      .column_axis = "token attended to",
      .rows = {},
      .columns = {},
      .values = attention.weights};
  for (const Token& token : attention.tokens) {
    map.rows.push_back(
        {.text = token.text, .emphasis = token.special ? Emphasis::kMuted : Emphasis::kNormal});
  }
  map.columns = map.rows;
  return map;
}

std::string FormatAttentionMap(const Input& input, const TokenAttention& attention) {
  const auto count = static_cast<int64_t>(attention.tokens.size());
  RawJson weights;
  AppendNested({.shape = {count, count}, .values = attention.weights}, weights.text);
  JsonObject object;
  AddInput(input, object);
  object.Add("layer", attention.layer);
  if (attention.choice.head) {
    object.Add("head", *attention.choice.head);
  } else {
    object.Add("head", std::string_view("mean"));
  }
  object.Add("heads", JsonArray(attention.heads, [](int32_t head) { return head; }));
  object.Add("tokens", JsonArray(attention.tokens, &Token::text));
  object.Add("offsets", JsonArray(attention.tokens, OffsetsJson));
  object.Add("text_indices", JsonArray(attention.tokens, &Token::text_index));
  object.Add("special", JsonArray(attention.tokens, SpecialJson));
  object.Add("weights", weights);
  object.Add("model", attention.model).Add("model_version", attention.model_version);
  return object.Done().text;
}

}  // namespace attnd::client
