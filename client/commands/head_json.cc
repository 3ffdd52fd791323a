#include "client/commands/head_json.h"

#include <span>

#include "client/commands/input_json.h"
#include "client/commands/json_text.h"

namespace attnd::client {
namespace {

JsonObject Begin(const InputLine& line) {
  JsonObject object;
  object.Add("index", line.index);
  AddInput(line.input, object);
  return object;
}

void AddLogit(const std::optional<float>& logit, JsonObject& object) {
  if (logit) object.Add("logit", *logit);
}

void AddTimings(const Timings& timings, JsonObject& object) {
  object.Add("timings", JsonObject()
                            .Add("tokenize_seconds", timings.tokenize_seconds)
                            .Add("queue_seconds", timings.queue_seconds)
                            .Add("compute_seconds", timings.compute_seconds)
                            .Add("batch_tokens", timings.batch_tokens)
                            .Done());
}

template <typename Reply>
std::string EndWithModel(const Reply& reply, JsonObject& object) {
  return object.Add("model", reply.model).Add("model_version", reply.model_version).Done().text;
}

// What ends the line of every input that was computed.
template <typename Result, typename Reply>
std::string End(const Result& result, const Reply& reply, JsonObject& object) {
  object.Add("token_count", result.token_count).Add("truncated", result.truncated);
  AddTimings(result.timings, object);
  return EndWithModel(reply, object);
}

RawJson LabelJson(const LabelScore& label) {
  JsonObject object;
  object.Add("label", label.label).Add("label_id", label.label_id).Add("score", label.score);
  AddLogit(label.logit, object);
  return object.Done();
}

RawJson LabelSpanJson(const LabelSpan& labelled) {
  return JsonObject()
      .Add("label", labelled.label)
      .Add("score", labelled.score)
      .Add("start", labelled.span.begin)
      .Add("end", labelled.span.end)
      .Add("text_index", labelled.span.text_index)
      .Add("first_token", labelled.span.first_token)
      .Add("end_token", labelled.span.end_token)
      .Add("text", labelled.text)
      .Done();
}

RawJson CandidateJson(const TokenCandidate& candidate) {
  JsonObject object;
  object.Add("id", candidate.id).Add("token", candidate.token).Add("text", candidate.text);
  object.Add("score", candidate.score);
  AddLogit(candidate.logit, object);
  return object.Done();
}

RawJson MaskJson(const FilledMask& mask) {
  return JsonObject()
      .Add("token_index", mask.token_index)
      .Add("start", mask.begin)
      .Add("end", mask.end)
      .Add("candidates", JsonArray(mask.candidates, CandidateJson))
      .Done();
}

RawJson AnswerJson(const Answer& answer) {
  return JsonObject()
      .Add("text", answer.text)
      .Add("score", answer.score)
      .Add("start", answer.begin)
      .Add("end", answer.end)
      .Done();
}

}  // namespace

std::string FormatJson(const InputLine& line, const Classification& result,
                       const ClassifyReply& reply) {
  JsonObject object = Begin(line);
  object.Add("labels", JsonArray(result.labels, LabelJson));
  return End(result, reply, object);
}

std::string FormatJson(const InputLine& line, const TokenClassification& result,
                       const ClassifyTokensReply& reply) {
  JsonObject object = Begin(line);
  object.Add("spans", JsonArray(result.spans, LabelSpanJson));
  return End(result, reply, object);
}

std::string FormatJson(std::string_view query, const std::vector<std::string>& documents,
                       const RerankReply& reply) {
  int rank = 0;
  const auto result_json = [&](const RankedDocument& result) {
    JsonObject object;
    object.Add("rank", ++rank).Add("index", result.index).Add("score", result.score);
    AddLogit(result.logit, object);
    object.Add("truncated", result.truncated);
    object.Add("document", documents[static_cast<size_t>(result.index)]);
    return object.Done();
  };
  JsonObject object;
  object.Add("query", query).Add("results", JsonArray(reply.results, result_json));
  object.Add("token_count", reply.token_count);
  AddTimings(reply.timings, object);
  return EndWithModel(reply, object);
}

std::string FormatJson(const InputLine& line, const FilledInput& result,
                       const FillMaskReply& reply) {
  JsonObject object = Begin(line);
  object.Add("masks", JsonArray(result.masks, MaskJson));
  return End(result, reply, object);
}

std::string FormatJson(size_t index, const Question& question, const QuestionAnswers& result,
                       const AnswerReply& reply) {
  JsonObject object;
  object.Add("index", index).Add("question", question.question);
  object.Add("answers", JsonArray(result.answers, AnswerJson));
  object.Add("token_count", result.token_count).Add("window_count", result.window_count);
  AddTimings(result.timings, object);
  return EndWithModel(reply, object);
}

std::string FormatJson(const InputLine& line, const Tokenization& result,
                       const TokenizeReply& reply) {
  JsonObject object = Begin(line);
  const std::vector<Token>& tokens = result.tokens;
  object.Add("ids", JsonArray(tokens, &Token::id));
  object.Add("tokens", JsonArray(tokens, &Token::text));
  object.Add("offsets", JsonArray(tokens, OffsetsJson));
  object.Add("text_indices", JsonArray(tokens, &Token::text_index));
  object.Add("special", JsonArray(tokens, SpecialJson));
  object.Add("type_ids", JsonArray(tokens, &Token::type_id));
  object.Add("word_ids", JsonArray(tokens, &Token::word_id));
  object.Add("truncated", result.truncated);
  return EndWithModel(reply, object);
}

std::string FormatJson(size_t index, const TokenIds& ids, const std::string& text,
                       const DetokenizeReply& reply) {
  JsonObject object;
  object.Add("index", index);
  object.Add("ids", JsonArray(ids.ids, [](int32_t id) { return id; }));
  object.Add("text", text);
  return EndWithModel(reply, object);
}

std::string FormatJson(size_t row, const Input& source, const SimilarityReply& reply) {
  JsonObject object = Begin({.index = row, .input = source});
  const size_t width = static_cast<size_t>(reply.similarities.shape[1]);
  object.Add("similarities",
             std::span<const float>(reply.similarities.values).subspan(row * width, width));
  return EndWithModel(reply, object);
}

}  // namespace attnd::client
