#include "client/convert_heads.h"

#include <utility>

#include "client/convert_encode.h"
#include "client/convert_tensor.h"

namespace attnd::client {
namespace {

// Our enums have the numbers of the contract's, so that a cast is the conversion.
static_assert(static_cast<int>(SpanAggregation::kMax) == v1::SPAN_AGGREGATION_MAX);
static_assert(static_cast<int>(Priority::kLow) == v1::PRIORITY_LOW);
static_assert(static_cast<int>(ScoreFunction::kNone) == v1::SCORE_FUNCTION_NONE);

// The fields that every request of inputs has.
template <typename Request>
void FillInputs(const std::string& model, const std::vector<Input>& inputs, Request& proto) {
  proto.set_model(model);
  for (const Input& input : inputs) *proto.add_inputs() = ToProto(input);
}

template <typename Reply, typename Response>
Reply WithModel(const Response& response) {
  Reply reply;
  reply.model = response.model().name();
  reply.model_version = response.model().version();
  return reply;
}

// The fields that the answer to every input has.
template <typename Answered, typename Proto>
Answered Begin(const Proto& proto) {
  Answered result;
  result.input_index = proto.input_index();
  result.token_count = proto.token_count();
  result.truncated = proto.truncated();
  result.timings = FromProto(proto.timings());
  return result;
}

template <typename Proto>
std::optional<float> LogitOf(const Proto& proto) {
  if (!proto.has_logit()) return std::nullopt;
  return proto.logit();
}

FilledMask ReadMask(const v1::FilledMask& mask) {
  FilledMask result{.token_index = mask.token_index(),
                    .begin = mask.start(),
                    .end = mask.end(),
                    .candidates = {}};
  for (const v1::TokenCandidate& candidate : mask.candidates()) {
    result.candidates.push_back({.id = candidate.id(),
                                 .token = candidate.token(),
                                 .text = candidate.text(),
                                 .score = candidate.score(),
                                 .logit = LogitOf(candidate)});
  }
  return result;
}

}  // namespace

v1::ClassifyRequest ToProto(const std::vector<Input>& inputs, const ClassifyOptions& options) {
  v1::ClassifyRequest proto;
  FillInputs(options.model, inputs, proto);
  proto.set_priority(static_cast<v1::Priority>(options.priority));
  auto& o = *proto.mutable_options();
  if (options.top_k) o.set_top_k(*options.top_k);
  o.set_score_function(static_cast<v1::ScoreFunction>(options.score_function));
  if (options.return_logits) o.set_return_logits(*options.return_logits);
  o.set_truncation(static_cast<v1::Truncation>(options.truncation));
  if (options.length_max) o.set_max_length(*options.length_max);
  return proto;
}

v1::ClassifyTokensRequest ToProto(const std::vector<Input>& inputs,
                                  const ClassifyTokensOptions& options) {
  v1::ClassifyTokensRequest proto;
  FillInputs(options.model, inputs, proto);
  proto.set_priority(static_cast<v1::Priority>(options.priority));
  auto& o = *proto.mutable_options();
  o.set_aggregation(static_cast<v1::SpanAggregation>(options.aggregation));
  for (const std::string& label : options.ignored_labels) o.add_ignored_labels(label);
  if (options.keep_all) o.set_keep_all(*options.keep_all);
  o.set_truncation(static_cast<v1::Truncation>(options.truncation));
  if (options.length_max) o.set_max_length(*options.length_max);
  o.set_offset_unit(static_cast<v1::OffsetUnit>(options.offset_unit));
  return proto;
}

v1::RerankRequest ToProto(std::string_view query, const std::vector<std::string>& documents,
                          const RerankOptions& options) {
  v1::RerankRequest proto;
  proto.set_model(options.model);
  proto.set_query(std::string(query));
  for (const std::string& document : documents) proto.add_documents(document);
  proto.set_priority(static_cast<v1::Priority>(options.priority));
  auto& o = *proto.mutable_options();
  if (options.top_n) o.set_top_n(*options.top_n);
  if (options.return_documents) o.set_return_documents(*options.return_documents);
  o.set_score_function(static_cast<v1::ScoreFunction>(options.score_function));
  if (options.return_logits) o.set_return_logits(*options.return_logits);
  o.set_truncation(static_cast<v1::Truncation>(options.truncation));
  if (options.length_max) o.set_max_length(*options.length_max);
  return proto;
}

v1::FillMaskRequest ToProto(const std::vector<Input>& inputs, const FillMaskOptions& options) {
  v1::FillMaskRequest proto;
  FillInputs(options.model, inputs, proto);
  proto.set_priority(static_cast<v1::Priority>(options.priority));
  auto& o = *proto.mutable_options();
  if (options.top_k) o.set_top_k(*options.top_k);
  if (options.return_logits) o.set_return_logits(*options.return_logits);
  o.set_truncation(static_cast<v1::Truncation>(options.truncation));
  if (options.length_max) o.set_max_length(*options.length_max);
  o.set_offset_unit(static_cast<v1::OffsetUnit>(options.offset_unit));
  return proto;
}

v1::AnswerRequest ToProto(const std::vector<Question>& questions, const AnswerOptions& options) {
  v1::AnswerRequest proto;
  proto.set_model(options.model);
  for (const Question& question : questions) {
    v1::Question& added = *proto.add_questions();
    added.set_question(question.question);
    added.set_context(question.context);
  }
  proto.set_priority(static_cast<v1::Priority>(options.priority));
  auto& o = *proto.mutable_options();
  if (options.top_k) o.set_top_k(*options.top_k);
  if (options.answer_tokens_max) o.set_max_answer_tokens(*options.answer_tokens_max);
  if (options.stride) o.set_stride(*options.stride);
  if (options.length_max) o.set_max_length(*options.length_max);
  if (options.allow_no_answer) o.set_allow_no_answer(*options.allow_no_answer);
  o.set_offset_unit(static_cast<v1::OffsetUnit>(options.offset_unit));
  return proto;
}

v1::TokenizeRequest ToProto(const std::vector<Input>& inputs, const TokenizeOptions& options) {
  v1::TokenizeRequest proto;
  FillInputs(options.model, inputs, proto);
  auto& o = *proto.mutable_options();
  if (options.add_special_tokens) o.set_add_special_tokens(*options.add_special_tokens);
  o.set_truncation(static_cast<v1::Truncation>(options.truncation));
  if (options.length_max) o.set_max_length(*options.length_max);
  o.set_offset_unit(static_cast<v1::OffsetUnit>(options.offset_unit));
  return proto;
}

v1::DetokenizeRequest ToProto(const std::vector<TokenIds>& inputs,
                              const DetokenizeOptions& options) {
  v1::DetokenizeRequest proto;
  proto.set_model(options.model);
  for (const TokenIds& ids : inputs) *proto.add_inputs() = ToProto(Input(ids)).token_ids();
  if (options.skip_special_tokens) proto.set_skip_special_tokens(*options.skip_special_tokens);
  return proto;
}

v1::SimilarityRequest ToProto(const std::vector<Input>& sources, const std::vector<Input>& targets,
                              const EncodeOptions& options) {
  v1::SimilarityRequest proto;
  proto.set_model(options.model);
  for (const Input& input : sources) *proto.add_sources() = ToProto(input);
  for (const Input& input : targets) *proto.add_targets() = ToProto(input);
  proto.set_priority(static_cast<v1::Priority>(options.priority));
  FillOptions(options, *proto.mutable_options());
  return proto;
}

ClassifyReply FromProto(const v1::ClassifyResponse& response) {
  auto reply = WithModel<ClassifyReply>(response);
  for (const v1::Classification& each : response.classifications()) {
    auto result = Begin<Classification>(each);
    for (const v1::LabelScore& label : each.labels()) {
      result.labels.push_back({.label = label.label(),
                               .label_id = label.label_id(),
                               .score = label.score(),
                               .logit = LogitOf(label)});
    }
    reply.classifications.push_back(std::move(result));
  }
  return reply;
}

ClassifyTokensReply FromProto(const v1::ClassifyTokensResponse& response) {
  auto reply = WithModel<ClassifyTokensReply>(response);
  for (const v1::TokenClassification& each : response.classifications()) {
    auto result = Begin<TokenClassification>(each);
    for (const v1::LabelSpan& span : each.spans()) {
      result.spans.push_back({.label = span.label(),
                              .score = span.score(),
                              .span = {.begin = span.start(),
                                       .end = span.end(),
                                       .text_index = span.text_index(),
                                       .first_token = span.first_token(),
                                       .end_token = span.end_token()},
                              .text = span.text()});
    }
    reply.classifications.push_back(std::move(result));
  }
  return reply;
}

RerankReply FromProto(const v1::RerankResponse& response) {
  auto reply = WithModel<RerankReply>(response);
  reply.token_count = response.token_count();
  reply.timings = FromProto(response.timings());
  for (const v1::RankedDocument& document : response.results()) {
    reply.results.push_back({.index = document.index(),
                             .score = document.score(),
                             .logit = LogitOf(document),
                             .document = document.document(),
                             .truncated = document.truncated()});
  }
  return reply;
}

FillMaskReply FromProto(const v1::FillMaskResponse& response) {
  auto reply = WithModel<FillMaskReply>(response);
  for (const v1::FilledInput& input : response.inputs()) {
    auto result = Begin<FilledInput>(input);
    for (const v1::FilledMask& mask : input.masks()) result.masks.push_back(ReadMask(mask));
    reply.inputs.push_back(std::move(result));
  }
  return reply;
}

AnswerReply FromProto(const v1::AnswerResponse& response) {
  auto reply = WithModel<AnswerReply>(response);
  for (const v1::QuestionAnswers& question : response.questions()) {
    QuestionAnswers result{.question_index = question.question_index(),
                           .answers = {},
                           .token_count = question.token_count(),
                           .window_count = question.window_count(),
                           .timings = FromProto(question.timings())};
    for (const v1::Answer& answer : question.answers()) {
      result.answers.push_back({.text = answer.text(),
                                .score = answer.score(),
                                .begin = answer.start(),
                                .end = answer.end()});
    }
    reply.questions.push_back(std::move(result));
  }
  return reply;
}

absl::StatusOr<TokenizeReply> FromProto(const v1::TokenizeResponse& response) {
  auto reply = WithModel<TokenizeReply>(response);
  for (const v1::Tokenization& each : response.tokenizations()) {
    auto tokens = FromProto(each.tokens());
    if (!tokens.ok()) return tokens.status();
    reply.tokenizations.push_back({.input_index = each.input_index(),
                                   .tokens = *std::move(tokens),
                                   .truncated = each.truncated()});
  }
  return reply;
}

DetokenizeReply FromProto(const v1::DetokenizeResponse& response) {
  auto reply = WithModel<DetokenizeReply>(response);
  reply.texts.assign(response.texts().begin(), response.texts().end());
  return reply;
}

absl::StatusOr<SimilarityReply> FromProto(const v1::SimilarityResponse& response) {
  auto reply = WithModel<SimilarityReply>(response);
  auto similarities = FromProto(response.similarities());
  if (!similarities.ok()) return similarities.status();
  reply.similarities = *std::move(similarities);
  if (reply.similarities.shape.size() != 2) {
    return absl::InternalError("the reply's similarities are not a matrix");
  }
  return reply;
}

}  // namespace attnd::client
