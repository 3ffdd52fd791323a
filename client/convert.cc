#include "client/convert.h"

#include <bit>
#include <cstring>
#include <limits>
#include <type_traits>
#include <variant>

#include "absl/strings/str_cat.h"

namespace attnd::client {
namespace {

static_assert(std::endian::native == std::endian::little, "Tensor.data is little-endian");

// Our enums have the numbers of the contract's, so that a cast is the conversion.
static_assert(static_cast<int>(Pooling::kPooler) == v1::POOLING_POOLER);
static_assert(static_cast<int>(Truncation::kRight) == v1::TRUNCATION_RIGHT);
static_assert(static_cast<int>(OffsetUnit::kUtf16) == v1::OFFSET_UNIT_UTF16);
static_assert(static_cast<int>(FullyMasked::kUniform) == v1::FULLY_MASKED_UNIFORM);
static_assert(static_cast<int>(Positions::kSinusoidal) == v1::POSITIONS_SINUSOIDAL);

void FillInput(const Input& input, v1::Input& proto) {
  std::visit(
      [&proto](const auto& kind) {
        using Kind = std::decay_t<decltype(kind)>;
        if constexpr (std::is_same_v<Kind, std::string>) {
          proto.set_text(kind);
        } else if constexpr (std::is_same_v<Kind, TextPair>) {
          proto.mutable_text_pair()->set_first(kind.first);
          proto.mutable_text_pair()->set_second(kind.second);
        } else if constexpr (std::is_same_v<Kind, TokenIds>) {
          auto& ids = *proto.mutable_token_ids();
          ids.mutable_ids()->Add(kind.ids.begin(), kind.ids.end());
          ids.mutable_type_ids()->Add(kind.type_ids.begin(), kind.type_ids.end());
        } else {
          *proto.mutable_input_embeddings() = ToProto(kind);
        }
      },
      input.kind);
}

// The number of elements, or -1 if a dimension is negative or the product is beyond what a message
// could hold.
int64_t ElementCount(const v1::Tensor& tensor) {
  constexpr int64_t kCountMax = std::numeric_limits<int32_t>::max();
  int64_t count = 1;
  for (const int64_t size : tensor.shape()) {
    if (size < 0 || size > kCountMax) return -1;
    count *= size;  // Both factors are below 2^31.
    if (count > kCountMax) return -1;
  }
  return count;
}

absl::StatusOr<std::vector<Token>> TokensFromProto(const v1::Tokens& proto) {
  const int count = proto.ids_size();
  const auto fits = [count](int size) { return size == 0 || size == count; };
  if (!fits(proto.strings_size()) || !fits(proto.starts_size()) || !fits(proto.ends_size()) ||
      !fits(proto.text_indices_size()) || !fits(proto.special_size()) ||
      !fits(proto.type_ids_size())) {
    return absl::InternalError("the reply's tokens are arrays of different lengths");
  }
  std::vector<Token> tokens(count);
  for (int i = 0; i < count; ++i) {
    Token& token = tokens[i];
    token.id = proto.ids(i);
    if (proto.strings_size() > 0) token.text = proto.strings(i);
    if (proto.starts_size() > 0) token.begin = proto.starts(i);
    if (proto.ends_size() > 0) token.end = proto.ends(i);
    if (proto.text_indices_size() > 0) token.text_index = proto.text_indices(i);
    if (proto.special_size() > 0) token.special = proto.special(i);
    if (proto.type_ids_size() > 0) token.type_id = proto.type_ids(i);
  }
  return tokens;
}

void FillOptions(const EncodeOptions& options, v1::EncodeOptions& proto) {
  if (options.return_pooled) proto.set_return_pooled(*options.return_pooled);
  if (options.return_token_vectors) proto.set_return_token_vectors(*options.return_token_vectors);
  if (options.return_tokens) proto.set_return_tokens(*options.return_tokens);
  proto.set_pooling(static_cast<v1::Pooling>(options.pooling));
  if (options.normalize) proto.set_normalize(*options.normalize);
  proto.set_truncation(static_cast<v1::Truncation>(options.truncation));
  if (options.length_max) proto.set_max_length(*options.length_max);
  if (options.add_special_tokens) proto.set_add_special_tokens(*options.add_special_tokens);
  proto.set_offset_unit(static_cast<v1::OffsetUnit>(options.offset_unit));
}

}  // namespace

v1::Tensor ToProto(const Tensor& tensor) {
  v1::Tensor proto;
  proto.set_dtype(v1::DATA_TYPE_FLOAT32);
  proto.mutable_shape()->Add(tensor.shape.begin(), tensor.shape.end());
  proto.mutable_data()->assign(reinterpret_cast<const char*>(tensor.values.data()),
                               tensor.values.size() * sizeof(float));
  return proto;
}

v1::Tensor ToProto(const BoolTensor& tensor) {
  v1::Tensor proto;
  proto.set_dtype(v1::DATA_TYPE_BOOL);
  proto.mutable_shape()->Add(tensor.shape.begin(), tensor.shape.end());
  proto.mutable_data()->assign(tensor.values.begin(), tensor.values.end());
  return proto;
}

v1::EncodeRequest ToProto(const std::vector<Input>& inputs, const EncodeOptions& options) {
  v1::EncodeRequest proto;
  proto.set_model(options.model);
  for (const Input& input : inputs) FillInput(input, *proto.add_inputs());
  FillOptions(options, *proto.mutable_options());
  return proto;
}

v1::AttendRequest ToProto(const AttendRequest& request) {
  v1::AttendRequest proto;
  *proto.mutable_query() = ToProto(request.query);
  *proto.mutable_key() = ToProto(request.key);
  *proto.mutable_value() = ToProto(request.value);
  if (request.scale) proto.set_scale(*request.scale);
  proto.set_causal(request.causal);
  if (request.window) proto.set_window(*request.window);
  if (request.key_mask) *proto.mutable_key_mask() = ToProto(*request.key_mask);
  if (request.mask) *proto.mutable_mask() = ToProto(*request.mask);
  if (request.bias) *proto.mutable_bias() = ToProto(*request.bias);
  proto.set_fully_masked(static_cast<v1::FullyMasked>(request.fully_masked));
  proto.set_return_weights(request.return_weights);
  proto.set_allow_non_finite(request.allow_non_finite);
  return proto;
}

v1::SelfAttentionRequest ToProto(const SelfAttentionRequest& request) {
  v1::SelfAttentionRequest proto;
  *proto.mutable_input() = ToProto(request.input);
  *proto.mutable_w_q() = ToProto(request.w_q);
  *proto.mutable_w_k() = ToProto(request.w_k);
  *proto.mutable_w_v() = ToProto(request.w_v);
  *proto.mutable_w_o() = ToProto(request.w_o);
  if (request.heads) proto.set_heads(*request.heads);
  proto.set_positions(static_cast<v1::Positions>(request.positions));
  proto.set_causal(request.causal);
  proto.set_return_scores(request.return_scores);
  return proto;
}

absl::StatusOr<Tensor> FromProto(const v1::Tensor& tensor) {
  if (tensor.dtype() != v1::DATA_TYPE_FLOAT32) {
    return absl::InternalError(absl::StrCat("the reply's tensor has data type ", tensor.dtype(),
                                            "; this client reads ",
                                            static_cast<int>(v1::DATA_TYPE_FLOAT32), " (FLOAT32)"));
  }
  const int64_t count = ElementCount(tensor);
  if (count < 0 || static_cast<size_t>(count) * sizeof(float) != tensor.data().size()) {
    return absl::InternalError(absl::StrCat("the reply's tensor has ", tensor.data().size(),
                                            " bytes, which its shape does not"));
  }
  Tensor result{.shape = {tensor.shape().begin(), tensor.shape().end()},
                .values = std::vector<float>(static_cast<size_t>(count))};
  if (count > 0) std::memcpy(result.values.data(), tensor.data().data(), tensor.data().size());
  return result;
}

absl::StatusOr<Encoding> FromProto(const v1::Encoding& encoding) {
  Encoding result{.input_index = encoding.input_index(),
                  .token_count = encoding.token_count(),
                  .truncated = encoding.truncated(),
                  .tokens = {},
                  .token_vectors = {},
                  .pooled = {},
                  .timings = {.tokenize_seconds = encoding.timings().tokenize_seconds(),
                              .queue_seconds = encoding.timings().queue_seconds(),
                              .compute_seconds = encoding.timings().compute_seconds(),
                              .batch_tokens = encoding.timings().batch_tokens()}};
  auto tokens = TokensFromProto(encoding.tokens());
  if (!tokens.ok()) return tokens.status();
  result.tokens = *std::move(tokens);
  if (encoding.has_token_vectors()) {
    auto vectors = FromProto(encoding.token_vectors());
    if (!vectors.ok()) return vectors.status();
    if (vectors->shape.size() != 2) {
      return absl::InternalError("the reply's token vectors are not [tokens, hidden size]");
    }
    result.token_vectors = *std::move(vectors);
  }
  if (encoding.has_pooled()) {
    auto pooled = FromProto(encoding.pooled());
    if (!pooled.ok()) return pooled.status();
    result.pooled = std::move(pooled->values);
  }
  return result;
}

absl::StatusOr<EncodeReply> FromProto(const v1::EncodeResponse& response) {
  EncodeReply reply{.model = response.model().name(),
                    .model_version = response.model().version(),
                    .encodings = {}};
  reply.encodings.reserve(response.encodings_size());
  for (const v1::Encoding& encoding : response.encodings()) {
    auto converted = FromProto(encoding);
    if (!converted.ok()) return converted.status();
    reply.encodings.push_back(*std::move(converted));
  }
  return reply;
}

absl::StatusOr<AttendReply> FromProto(const v1::AttendResponse& response) {
  auto output = FromProto(response.output());
  if (!output.ok()) return output.status();
  AttendReply reply{.output = *std::move(output), .weights = {}};
  if (response.has_weights()) {
    auto weights = FromProto(response.weights());
    if (!weights.ok()) return weights.status();
    reply.weights = *std::move(weights);
  }
  return reply;
}

absl::StatusOr<SelfAttentionReply> FromProto(const v1::SelfAttentionResponse& response) {
  auto output = FromProto(response.output());
  if (!output.ok()) return output.status();
  SelfAttentionReply reply{.output = *std::move(output), .scores = {}, .weights = {}};
  if (response.has_scores()) {
    auto scores = FromProto(response.scores());
    if (!scores.ok()) return scores.status();
    reply.scores = *std::move(scores);
  }
  if (response.has_weights()) {
    auto weights = FromProto(response.weights());
    if (!weights.ok()) return weights.status();
    reply.weights = *std::move(weights);
  }
  return reply;
}

ModelInfo FromProto(const v1::ModelInfo& info) {
  ModelInfo result{.name = info.name(),
                   .version = info.version(),
                   .family = info.family(),
                   .hidden_size = info.hidden_size(),
                   .layers = info.layers(),
                   .heads = info.heads(),
                   .vocabulary_size = info.vocabulary_size(),
                   .token_types = info.token_types(),
                   .length_limit = info.max_length_limit(),
                   .length_default = info.max_length_default(),
                   .pooling = static_cast<Pooling>(info.pooling()),
                   .normalize = info.normalize(),
                   .dtype = info.dtype(),
                   .checkpoint_dtype = info.checkpoint_dtype(),
                   .isa = info.isa(),
                   .onednn_version = info.onednn_version(),
                   .kernels = {},
                   .limits = {.inputs_per_request = info.limits().inputs_per_request(),
                              .batch_tokens = info.limits().batch_tokens(),
                              .queue_tokens = info.limits().queue_tokens(),
                              .queue_requests = info.limits().queue_requests(),
                              .message_bytes = info.limits().message_bytes(),
                              .stream_requests = info.limits().stream_requests(),
                              .text_bytes = info.limits().text_bytes(),
                              .attention_scores = info.limits().attention_scores(),
                              .attention_flops = info.limits().attention_flops(),
                              .queue_bytes = info.limits().queue_bytes(),
                              .held_bytes = info.limits().held_bytes(),
                              .request_text_bytes = info.limits().request_text_bytes(),
                              .default_deadline_seconds = info.limits().default_deadline_seconds(),
                              .deadline_cap_seconds = info.limits().deadline_cap_seconds()}};
  for (const v1::Kernel& kernel : info.kernels()) {
    result.kernels.push_back({.layer = kernel.layer(),
                              .implementation = kernel.implementation(),
                              .reason = kernel.reason()});
  }
  return result;
}

}  // namespace attnd::client
