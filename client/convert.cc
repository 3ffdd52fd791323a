#include "client/convert.h"

#include "client/convert_tensor.h"

namespace attnd::client {
namespace {

// Our enums have the numbers of the contract's, so that a cast is the conversion.
static_assert(static_cast<int>(FullyMasked::kUniform) == v1::FULLY_MASKED_UNIFORM);
static_assert(static_cast<int>(Positions::kSinusoidal) == v1::POSITIONS_SINUSOIDAL);
static_assert(static_cast<int>(Head::kVocabulary) == v1::HEAD_VOCABULARY);
static_assert(static_cast<int>(ScoreFunction::kNone) == v1::SCORE_FUNCTION_NONE);

Accuracy ReadAccuracy(const v1::Accuracy& accuracy) {
  return {.texts = accuracy.texts(),
          .cosine_mean = accuracy.cosine_mean(),
          .cosine_min = accuracy.cosine_min(),
          .worst_text = accuracy.worst_text(),
          .ranking_agreement = accuracy.ranking_agreement()};
}

}  // namespace

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
  proto.set_priority(static_cast<v1::Priority>(request.priority));
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
  proto.set_priority(static_cast<v1::Priority>(request.priority));
  return proto;
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
                   .accuracy = {},
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
                              .queue_wait_seconds = info.limits().queue_wait_seconds(),
                              .deadline_cap_seconds = info.limits().deadline_cap_seconds(),
                              .documents_per_request = info.limits().documents_per_request(),
                              .candidates_per_mask = info.limits().candidates_per_mask(),
                              .answers_per_question = info.limits().answers_per_question(),
                              .layers_per_request = info.limits().layers_per_request(),
                              .attention_map_scores = info.limits().attention_map_scores(),
                              .spans_per_input = info.limits().spans_per_input()}};
  if (info.has_accuracy()) result.accuracy = ReadAccuracy(info.accuracy());
  for (const v1::Kernel& kernel : info.kernels()) {
    result.kernels.push_back({.layer = kernel.layer(),
                              .implementation = kernel.implementation(),
                              .reason = kernel.reason()});
  }
  result.head = static_cast<Head>(info.head());
  result.labels.assign(info.labels().begin(), info.labels().end());
  result.score_function = static_cast<ScoreFunction>(info.score_function());
  result.prompts.insert(info.prompts().begin(), info.prompts().end());
  result.default_prompt_name = info.default_prompt_name();
  result.projection_size = info.projection_size();
  return result;
}

}  // namespace attnd::client
