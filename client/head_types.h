#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client/types.h"

// What the methods besides Encode take and return: labels, ranks, masks, answers, tokens. As in
// client/types.h, what is left unset is left to the server, and the .proto files are the reference.
// A score is a probability unless ScoreFunction::kNone was asked for, or is the model's own.
namespace attnd::client {

// Labels of texts (Client::Classify).
struct ClassifyOptions {
  std::string model = {};  // Empty: the only one served, here and below.
  Priority priority = Priority::kDefault;
  std::optional<int32_t> top_k = {};
  ScoreFunction score_function = ScoreFunction::kDefault;
  std::optional<bool> return_logits = {};
  Truncation truncation = Truncation::kDefault;
  std::optional<int32_t> length_max = {};
};

struct LabelScore {
  std::string label;
  int32_t label_id = 0;
  float score = 0;
  std::optional<float> logit;
};

struct Classification {
  int32_t input_index = 0;
  std::vector<LabelScore> labels;  // The best first.
  int32_t token_count = 0;
  bool truncated = false;
  Timings timings;
};

struct ClassifyReply {
  std::string model;
  std::string model_version;
  std::vector<Classification> classifications;  // In the order of the inputs.
};

// How the labels of tokens become spans; see SpanAggregation in classifier.proto.
enum class SpanAggregation { kDefault, kNone, kSimple, kFirst, kAverage, kMax };

// Labels of tokens (Client::ClassifyTokens).
struct ClassifyTokensOptions {
  std::string model = {};
  Priority priority = Priority::kDefault;
  SpanAggregation aggregation = SpanAggregation::kDefault;
  std::vector<std::string> ignored_labels = {};
  std::optional<bool> keep_all = {};
  Truncation truncation = Truncation::kDefault;
  std::optional<int32_t> length_max = {};
  OffsetUnit offset_unit = OffsetUnit::kDefault;
};

struct LabelSpan {
  std::string label;
  float score = 0;
  Span span;
  std::string text;
};

struct TokenClassification {
  int32_t input_index = 0;
  std::vector<LabelSpan> spans;  // In the order of the text.
  int32_t token_count = 0;
  bool truncated = false;
  Timings timings;
};

struct ClassifyTokensReply {
  std::string model;
  std::string model_version;
  std::vector<TokenClassification> classifications;  // In the order of the inputs.
};

// Documents in the order in which they answer a query (Client::Rerank).
struct RerankOptions {
  std::string model = {};
  Priority priority = Priority::kDefault;
  std::optional<int32_t> top_n = {};
  std::optional<bool> return_documents = {};
  ScoreFunction score_function = ScoreFunction::kDefault;
  std::optional<bool> return_logits = {};
  Truncation truncation = Truncation::kDefault;
  std::optional<int32_t> length_max = {};
};

struct RankedDocument {
  int32_t index = 0;  // The document's place in the request.
  float score = 0;
  std::optional<float> logit;
  std::string document;  // Where return_documents is set.
  bool truncated = false;
};

struct RerankReply {
  std::string model;
  std::string model_version;
  std::vector<RankedDocument> results;  // The best first.
  int32_t token_count = 0;              // Of all pairs.
  Timings timings;
};

// What may stand at a mask (Client::FillMask).
struct FillMaskOptions {
  std::string model = {};
  Priority priority = Priority::kDefault;
  std::optional<int32_t> top_k = {};
  std::optional<bool> return_logits = {};
  Truncation truncation = Truncation::kDefault;
  std::optional<int32_t> length_max = {};
  OffsetUnit offset_unit = OffsetUnit::kDefault;
};

struct TokenCandidate {
  int32_t id = 0;
  std::string token;  // As the vocabulary has it.
  std::string text;   // The token as text.
  float score = 0;
  std::optional<float> logit;
};

struct FilledMask {
  int32_t token_index = 0;
  int32_t begin = 0;  // [begin, end) of the mask in the text, in the unit asked for.
  int32_t end = 0;
  std::vector<TokenCandidate> candidates;  // The best first.
};

struct FilledInput {
  int32_t input_index = 0;
  std::vector<FilledMask> masks;  // In the order of the text.
  int32_t token_count = 0;
  bool truncated = false;
  Timings timings;
};

struct FillMaskReply {
  std::string model;
  std::string model_version;
  std::vector<FilledInput> inputs;
};

// The parts of a text that answer a question (Client::Answer).
struct Question {
  std::string question;
  std::string context;
};

struct AnswerOptions {
  std::string model = {};
  Priority priority = Priority::kDefault;
  std::optional<int32_t> top_k = {};
  std::optional<int32_t> answer_tokens_max = {};
  std::optional<int32_t> stride = {};  // Tokens that a window shares with the one before.
  std::optional<int32_t> length_max = {};
  std::optional<bool> allow_no_answer = {};
  OffsetUnit offset_unit = OffsetUnit::kDefault;
};

struct Answer {
  std::string text;  // Empty, with [0, 0): no answer.
  float score = 0;
  int32_t begin = 0;  // [begin, end) in the context, in the unit asked for.
  int32_t end = 0;
};

struct QuestionAnswers {
  int32_t question_index = 0;
  std::vector<Answer> answers;  // The best first.
  int32_t token_count = 0;      // Of all windows.
  int32_t window_count = 0;
  Timings timings;
};

struct AnswerReply {
  std::string model;
  std::string model_version;
  std::vector<QuestionAnswers> questions;  // In the order of the request.
};

// Texts to tokens (Client::Tokenize) and back (Client::Detokenize).
struct TokenizeOptions {
  std::string model = {};
  std::optional<bool> add_special_tokens = {};
  Truncation truncation = Truncation::kDefault;
  std::optional<int32_t> length_max = {};
  OffsetUnit offset_unit = OffsetUnit::kDefault;
};

struct Tokenization {
  int32_t input_index = 0;
  std::vector<Token> tokens;
  bool truncated = false;
};

struct TokenizeReply {
  std::string model;
  std::string model_version;
  std::vector<Tokenization> tokenizations;  // In the order of the inputs.
};

struct DetokenizeOptions {
  std::string model = {};
  std::optional<bool> skip_special_tokens = {};
};

struct DetokenizeReply {
  std::string model;
  std::string model_version;
  std::vector<std::string> texts;  // In the order of the inputs.
};

// Cosines of pooled vectors (Client::Similarity).
struct SimilarityReply {
  std::string model;
  std::string model_version;
  Tensor similarities;  // [sources, targets], each between -1 and 1.
};

}  // namespace attnd::client
