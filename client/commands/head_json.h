#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "client/head_types.h"

// What the commands print with --json: a line of JSON for each input, without a newline, with all
// that the reply holds. The keys are those of the .proto files; every line has "model",
// "model_version" and, where the reply has them, "timings" (in seconds). A logit is there only
// where one was asked for. Floats read back as the same bits.
namespace attnd::client {

// Which input of the command a line is about: its place, counted over all requests, and itself.
struct InputLine {
  size_t index = 0;
  const Input& input;  // Becomes "text", "text" and "text_pair", or "ids".
};

// {"index", "text", "labels": [{"label", "label_id", "score", "logit"}], "token_count",
// "truncated", "model", "model_version", "timings"}.
std::string FormatJson(const InputLine& line, const Classification& result,
                       const ClassifyReply& reply);
// ... "spans": [{"label", "score", "start", "end", "text_index", "first_token", "end_token",
// "text"}] ...
std::string FormatJson(const InputLine& line, const TokenClassification& result,
                       const ClassifyTokensReply& reply);
// {"query", "results": [{"rank", "index", "score", "logit", "truncated", "document"}], ...}; ranks
// from 1. REQUIRES: each result's index is one of `documents`.
std::string FormatJson(std::string_view query, const std::vector<std::string>& documents,
                       const RerankReply& reply);
// ... "masks": [{"token_index", "start", "end", "candidates": [{"id", "token", "text", "score",
// "logit"}]}] ...
std::string FormatJson(const InputLine& line, const FilledInput& result,
                       const FillMaskReply& reply);
// {"index", "question", "answers": [{"text", "score", "start", "end"}], "token_count",
// "window_count", ...}.
std::string FormatJson(size_t index, const Question& question, const QuestionAnswers& result,
                       const AnswerReply& reply);
// ... "ids", "tokens", "offsets", "text_indices", "special", "type_ids", "word_ids", as parallel
// arrays ...
std::string FormatJson(const InputLine& line, const Tokenization& result,
                       const TokenizeReply& reply);
// {"index", "ids", "text", ...}.
std::string FormatJson(size_t index, const TokenIds& ids, const std::string& text,
                       const DetokenizeReply& reply);
// {"index", "text", "similarities": [to each target], ...}: row `row` of the reply.
std::string FormatJson(size_t row, const Input& source, const SimilarityReply& reply);

}  // namespace attnd::client
