#include "server/rpc/model_service.h"

#include <chrono>
#include <string>

#include "core/base/status_macros.h"
#include "server/rpc/unary_call.h"

namespace attnd {
namespace {

v1::Pooling PoolingToProto(Pooling pooling) {
  switch (pooling) {
    case Pooling::kCls:
      return v1::POOLING_CLS;
    case Pooling::kMean:
      return v1::POOLING_MEAN;
    case Pooling::kMax:
      return v1::POOLING_MAX;
    case Pooling::kLast:
      return v1::POOLING_LAST;
    case Pooling::kPooler:
      return v1::POOLING_POOLER;
  }
  return v1::POOLING_UNSPECIFIED;
}

double Seconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

v1::Head HeadToProto(HeadKind head) {
  switch (head) {
    case HeadKind::kNone:
      break;
    case HeadKind::kSequenceLabels:
      return v1::HEAD_SEQUENCE_LABELS;
    case HeadKind::kTokenLabels:
      return v1::HEAD_TOKEN_LABELS;
    case HeadKind::kSpan:
      return v1::HEAD_SPAN;
    case HeadKind::kVocabulary:
      return v1::HEAD_VOCABULARY;
  }
  return v1::HEAD_UNSPECIFIED;
}

v1::ScoreFunction ScoreFunctionToProto(ScoreFunction function) {
  switch (function) {
    case ScoreFunction::kNone:
      return v1::SCORE_FUNCTION_NONE;
    case ScoreFunction::kSigmoid:
      return v1::SCORE_FUNCTION_SIGMOID;
    case ScoreFunction::kSoftmax:
      return v1::SCORE_FUNCTION_SOFTMAX;
  }
  return v1::SCORE_FUNCTION_UNSPECIFIED;
}

void Describe(const Limits& limits, v1::Limits& to) {
  to.set_inputs_per_request(limits.inputs_per_request);
  to.set_batch_tokens(limits.batch_tokens);
  to.set_queue_tokens(static_cast<int32_t>(limits.queue_tokens));
  to.set_queue_requests(static_cast<int32_t>(limits.queue_requests));
  to.set_message_bytes(static_cast<int32_t>(limits.message_bytes));
  to.set_stream_requests(limits.stream_requests);
  to.set_text_bytes(static_cast<int32_t>(limits.text_bytes));
  to.set_attention_scores(limits.attention_scores);
  to.set_attention_flops(limits.attention_flops);
  to.set_queue_bytes(limits.queue_bytes);
  to.set_held_bytes(limits.held_bytes);
  to.set_request_text_bytes(limits.request_text_bytes);
  to.set_default_deadline_seconds(Seconds(limits.default_deadline));
  to.set_deadline_cap_seconds(Seconds(limits.deadline_cap));
  to.set_queue_wait_seconds(Seconds(limits.queue_wait));
  to.set_layers_per_request(limits.layers_per_request);
  to.set_attention_map_scores(limits.attention_map_scores);
  to.set_spans_per_input(limits.spans_per_input);
  to.set_documents_per_request(limits.documents_per_request);
  to.set_candidates_per_mask(limits.candidates_per_mask);
  to.set_answers_per_question(limits.answers_per_question);
}

void Describe(const Accuracy& accuracy, const std::string& worst_text, v1::Accuracy& to) {
  to.set_texts(accuracy.inputs);
  to.set_cosine_mean(accuracy.cosine_mean);
  to.set_cosine_min(accuracy.cosine_min);
  to.set_worst_text(worst_text);
  to.set_ranking_agreement(accuracy.ranking_agreement);
}

void Describe(const ModelContext& model, v1::ModelInfo& to) {
  const ModelInfo& info = model.served.info;
  to.set_name(model.served.name);
  to.set_version(info.version);
  to.set_family(info.family);
  to.set_hidden_size(info.hidden);
  to.set_layers(info.layers);
  to.set_heads(info.heads);
  to.set_vocabulary_size(info.vocabulary);
  to.set_token_types(info.token_types);
  to.set_max_length_limit(info.length_max);
  to.set_max_length_default(info.length_default);
  to.set_pooling(PoolingToProto(info.pooling));
  to.set_normalize(info.normalize);
  to.set_dtype(info.dtype);
  to.set_checkpoint_dtype(info.checkpoint_dtype);
  to.set_isa(model.served.isa);
  to.set_onednn_version(model.served.onednn_version);
  for (const KernelChoice& choice : info.kernels) {
    v1::Kernel& kernel = *to.add_kernels();
    kernel.set_layer(choice.layer);
    kernel.set_implementation(choice.implementation);
    kernel.set_reason(choice.reason);
  }
  Describe(model.limits, *to.mutable_limits());
  to.set_head(HeadToProto(info.head));
  to.mutable_labels()->Assign(info.labels.begin(), info.labels.end());
  if (info.head == HeadKind::kSequenceLabels)
    to.set_score_function(ScoreFunctionToProto(info.score_function));
  to.mutable_prompts()->insert(info.prompts.begin(), info.prompts.end());
  to.set_default_prompt_name(info.default_prompt_name);
  to.set_projection_size(info.projection);
  to.set_weight(model.weight);
  if (info.accuracy) Describe(*info.accuracy, model.served.worst_text, *to.mutable_accuracy());
}

absl::Status HandleListModels(UnaryCall& call, const v1::ListModelsRequest&) {
  v1::ListModelsResponse response;
  for (const ModelContext& model : call.service().models) Describe(model, *response.add_models());
  call.Reply(response);
  return absl::OkStatus();
}

absl::Status HandleGetModel(UnaryCall& call, const v1::GetModelRequest& request) {
  ASSIGN_OR_RETURN(const ModelContext* model, call.FindModel(request.model()));
  v1::GetModelResponse response;
  Describe(*model, *response.mutable_model());
  call.Reply(response);
  return absl::OkStatus();
}

}  // namespace

grpc::ServerUnaryReactor* ModelServiceImpl::ListModels(grpc::CallbackServerContext* context,
                                                       const grpc::ByteBuffer* request,
                                                       grpc::ByteBuffer* reply) {
  return UnaryCall::Start<v1::ListModelsRequest>(service_, Method::kListModels, context, request,
                                                 reply, &HandleListModels);
}

grpc::ServerUnaryReactor* ModelServiceImpl::GetModel(grpc::CallbackServerContext* context,
                                                     const grpc::ByteBuffer* request,
                                                     grpc::ByteBuffer* reply) {
  return UnaryCall::Start<v1::GetModelRequest>(service_, Method::kGetModel, context, request, reply,
                                               &HandleGetModel);
}

}  // namespace attnd
