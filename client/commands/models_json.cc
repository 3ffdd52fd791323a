#include "client/commands/models_json.h"

#include "client/commands/json_text.h"

namespace attnd::client {
namespace {

RawJson KernelJson(const Kernel& kernel) {
  return JsonObject()
      .Add("layer", kernel.layer)
      .Add("implementation", kernel.implementation)
      .Add("reason", kernel.reason)
      .Done();
}

RawJson LimitsJson(const Limits& limits) {
  return JsonObject()
      .Add("inputs_per_request", limits.inputs_per_request)
      .Add("batch_tokens", limits.batch_tokens)
      .Add("queue_tokens", limits.queue_tokens)
      .Add("queue_requests", limits.queue_requests)
      .Add("message_bytes", limits.message_bytes)
      .Add("stream_requests", limits.stream_requests)
      .Add("text_bytes", limits.text_bytes)
      .Add("attention_scores", limits.attention_scores)
      .Add("attention_flops", limits.attention_flops)
      .Add("queue_bytes", limits.queue_bytes)
      .Add("held_bytes", limits.held_bytes)
      .Add("request_text_bytes", limits.request_text_bytes)
      .Add("default_deadline_seconds", limits.default_deadline_seconds)
      .Add("queue_wait_seconds", limits.queue_wait_seconds)
      .Add("deadline_cap_seconds", limits.deadline_cap_seconds)
      .Add("documents_per_request", limits.documents_per_request)
      .Add("candidates_per_mask", limits.candidates_per_mask)
      .Add("answers_per_question", limits.answers_per_question)
      .Add("layers_per_request", limits.layers_per_request)
      .Add("attention_map_scores", limits.attention_map_scores)
      .Add("spans_per_input", limits.spans_per_input)
      .Done();
}

RawJson AccuracyJson(const Accuracy& accuracy) {
  return JsonObject()
      .Add("texts", accuracy.texts)
      .Add("cosine_mean", accuracy.cosine_mean)
      .Add("cosine_min", accuracy.cosine_min)
      .Add("worst_text", accuracy.worst_text)
      .Add("ranking_agreement", accuracy.ranking_agreement)
      .Done();
}

RawJson PromptsJson(const std::map<std::string, std::string>& prompts) {
  RawJson json{.text = "{"};
  for (const auto& [name, text] : prompts) {
    if (json.text.size() > 1) json.text += ',';
    AppendJson(name, json.text);
    json.text += ':';
    AppendJson(text, json.text);
  }
  json.text += '}';
  return json;
}

}  // namespace

std::string_view PoolingName(Pooling pooling) {
  switch (pooling) {
    case Pooling::kCls:
      return "cls";
    case Pooling::kMean:
      return "mean";
    case Pooling::kMax:
      return "max";
    case Pooling::kLast:
      return "last";
    case Pooling::kPooler:
      return "pooler";
    case Pooling::kDefault:
      break;
  }
  return "none";
}

std::string_view ScoreFunctionName(ScoreFunction function) {
  switch (function) {
    case ScoreFunction::kSoftmax:
      return "softmax";
    case ScoreFunction::kSigmoid:
      return "sigmoid";
    case ScoreFunction::kNone:
      return "none";
    case ScoreFunction::kDefault:
      break;
  }
  return "unknown";
}

std::string_view HeadName(Head head) {
  switch (head) {
    case Head::kSequenceLabels:
      return "sequence_labels";
    case Head::kTokenLabels:
      return "token_labels";
    case Head::kSpan:
      return "span";
    case Head::kVocabulary:
      return "vocabulary";
    case Head::kNone:
      break;
  }
  return "none";
}

std::string FormatModelJson(const ModelInfo& model) {
  JsonObject object;
  object.Add("name", model.name).Add("version", model.version).Add("family", model.family);
  object.Add("hidden_size", model.hidden_size).Add("layers", model.layers);
  object.Add("heads", model.heads).Add("vocabulary_size", model.vocabulary_size);
  object.Add("token_types", model.token_types);
  object.Add("max_length_limit", model.length_limit);
  object.Add("max_length_default", model.length_default);
  object.Add("pooling", PoolingName(model.pooling)).Add("normalize", model.normalize);
  object.Add("dtype", model.dtype).Add("checkpoint_dtype", model.checkpoint_dtype);
  if (model.accuracy) object.Add("accuracy", AccuracyJson(*model.accuracy));
  object.Add("isa", model.isa).Add("onednn_version", model.onednn_version);
  object.Add("head", HeadName(model.head));
  object.Add("labels", JsonArray(model.labels, [](const std::string& label) { return label; }));
  object.Add("score_function", ScoreFunctionName(model.score_function));
  object.Add("prompts", PromptsJson(model.prompts));
  object.Add("default_prompt_name", model.default_prompt_name);
  object.Add("projection_size", model.projection_size);
  object.Add("limits", LimitsJson(model.limits));
  object.Add("kernels", JsonArray(model.kernels, KernelJson));
  return object.Done().text;
}

}  // namespace attnd::client
