// Goal: what a program asks of a head through attnd::Client is what the server is sent, and what it
// reads is what the reply holds; a reply that answers something else is an error. Method: the fake
// server's canned replies and its copies of the requests.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/client.h"
#include "tests/client/fake_server.h"

namespace attnd::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Heads : public testing::Test {
 protected:
  FakeServer server_;
  const Client client_{{.target = server_.target()}};
};

TEST_F(Heads, WhatIsNotSetIsLeftToTheServer) {
  ASSERT_TRUE(client_.Classify({"a"}).ok());
  EXPECT_EQ(server_.classifier.last.Get().ShortDebugString(), "inputs { text: \"a\" } options { }");
  ASSERT_TRUE(client_.ClassifyTokens({"a"}).ok());
  EXPECT_EQ(server_.classifier.last_tokens.Get().options().ByteSizeLong(), 0U);
  ASSERT_TRUE(client_.Rerank("q", {"a"}).ok());
  EXPECT_EQ(server_.rerank.last.Get().options().ByteSizeLong(), 0U);
  ASSERT_TRUE(client_.FillMask({"a"}).ok());
  EXPECT_EQ(server_.fill_mask.last.Get().options().ByteSizeLong(), 0U);
  ASSERT_TRUE(client_.Answer({{.question = "q", .context = "c"}}).ok());
  EXPECT_EQ(server_.answer.last.Get().options().ByteSizeLong(), 0U);
  ASSERT_TRUE(client_.Tokenize({"a"}).ok());
  EXPECT_EQ(server_.tokenizer.last.Get().options().ByteSizeLong(), 0U);
  ASSERT_TRUE(client_.Similarity({"a"}).ok());
  EXPECT_EQ(server_.encoder.last_similarity.Get().options().ByteSizeLong(), 0U);
}

TEST_F(Heads, ClassifySendsOptionsAndReadsLabels) {
  const auto reply = client_.Classify({"a", TextPair{.first = "b", .second = "c"}},
                                      {.model = "fake",
                                       .top_k = 2,
                                       .score_function = ScoreFunction::kSigmoid,
                                       .return_logits = true,
                                       .truncation = Truncation::kRight,
                                       .length_max = 9});
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(
      server_.classifier.last.Get().ShortDebugString(),
      "model: \"fake\" inputs { text: \"a\" } inputs { text_pair { first: \"b\" second: \"c\" "
      "} } options { top_k: 2 score_function: SCORE_FUNCTION_SIGMOID return_logits: true "
      "truncation: TRUNCATION_RIGHT max_length: 9 }");
  EXPECT_EQ(reply->model, "fake");
  EXPECT_EQ(reply->model_version, "v1");
  ASSERT_EQ(reply->classifications.size(), 2U);
  const Classification& result = reply->classifications[1];
  EXPECT_EQ(result.input_index, 1);
  EXPECT_EQ(result.token_count, 6);
  EXPECT_EQ(result.timings.compute_seconds, 0.25);
  ASSERT_EQ(result.labels.size(), 2U);
  EXPECT_EQ(result.labels[0].label, "POSITIVE");
  EXPECT_EQ(result.labels[0].label_id, 1);
  EXPECT_EQ(result.labels[0].score, 0.75F);
  EXPECT_EQ(result.labels[0].logit, 1.5F);
}

TEST_F(Heads, ClassifyTokensSendsOptionsAndReadsSpans) {
  const auto reply = client_.ClassifyTokens({"a"}, {.aggregation = SpanAggregation::kAverage,
                                                    .ignored_labels = {"O", "MISC"},
                                                    .keep_all = false,
                                                    .truncation = Truncation::kLeft,
                                                    .length_max = 9,
                                                    .offset_unit = OffsetUnit::kByte});
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(server_.classifier.last_tokens.Get().options().ShortDebugString(),
            "aggregation: SPAN_AGGREGATION_AVERAGE ignored_labels: \"O\" ignored_labels: \"MISC\" "
            "keep_all: false truncation: TRUNCATION_LEFT max_length: 9 offset_unit: "
            "OFFSET_UNIT_BYTE");
  ASSERT_EQ(reply->classifications.at(0).spans.size(), 2U);
  const LabelSpan& span = reply->classifications[0].spans[1];
  EXPECT_EQ(span.label, "LOC");
  EXPECT_EQ(span.score, 0.5F);
  EXPECT_EQ(span.span.begin, 16);
  EXPECT_EQ(span.span.end, 22);
  EXPECT_EQ(span.span.first_token, 1);
  EXPECT_EQ(span.span.end_token, 2);
  EXPECT_EQ(span.text, "Berlin");
}

TEST_F(Heads, RerankSendsOptionsAndReadsRanks) {
  const auto reply = client_.Rerank("q", {"a", "b"},
                                    {.top_n = 2,
                                     .return_documents = true,
                                     .score_function = ScoreFunction::kNone,
                                     .return_logits = true,
                                     .truncation = Truncation::kRight,
                                     .length_max = 9});
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(server_.rerank.last.Get().ShortDebugString(),
            "query: \"q\" documents: \"a\" documents: \"b\" options { top_n: 2 return_documents: "
            "true score_function: SCORE_FUNCTION_NONE return_logits: true truncation: "
            "TRUNCATION_RIGHT max_length: 9 }");
  ASSERT_EQ(reply->results.size(), 2U);
  EXPECT_EQ(reply->token_count, 12);
  EXPECT_EQ(reply->results[0].index, 1);
  EXPECT_EQ(reply->results[0].document, "b");
  EXPECT_EQ(reply->results[0].score, 0.9F);
  EXPECT_EQ(reply->results[0].logit, 2);
}

TEST_F(Heads, FillMaskSendsOptionsAndReadsCandidates) {
  const auto reply =
      client_.FillMask({TokenIds{.ids = {1, 2}}}, {.top_k = 2,
                                                   .return_logits = true,
                                                   .truncation = Truncation::kRight,
                                                   .length_max = 9,
                                                   .offset_unit = OffsetUnit::kUtf16});
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(server_.fill_mask.last.Get().ShortDebugString(),
            "inputs { token_ids { ids: 1 ids: 2 } } options { top_k: 2 return_logits: true "
            "truncation: TRUNCATION_RIGHT max_length: 9 offset_unit: OFFSET_UNIT_UTF16 }");
  ASSERT_EQ(reply->inputs.at(0).masks.size(), 1U);
  const FilledMask& mask = reply->inputs[0].masks[0];
  EXPECT_EQ(mask.token_index, 4);
  EXPECT_EQ(mask.begin, 9);
  EXPECT_EQ(mask.end, 15);
  ASSERT_EQ(mask.candidates.size(), 2U);
  EXPECT_EQ(mask.candidates[0].token, "\u0120capital");
  EXPECT_EQ(mask.candidates[0].text, "capital");
  EXPECT_EQ(mask.candidates[0].id, 3007);
  EXPECT_EQ(mask.candidates[0].logit, 9.5F);
}

TEST_F(Heads, AnswerSendsOptionsAndReadsAnswers) {
  const auto reply =
      client_.Answer({{.question = "q", .context = "c"}}, {.top_k = 2,
                                                           .answer_tokens_max = 5,
                                                           .stride = 0,
                                                           .length_max = 9,
                                                           .allow_no_answer = true,
                                                           .offset_unit = OffsetUnit::kByte});
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(server_.answer.last.Get().ShortDebugString(),
            "questions { question: \"q\" context: \"c\" } options { top_k: 2 max_answer_tokens: 5 "
            "stride: 0 max_length: 9 allow_no_answer: true offset_unit: OFFSET_UNIT_BYTE }");
  const QuestionAnswers& result = reply->questions.at(0);
  EXPECT_EQ(result.window_count, 2);
  ASSERT_EQ(result.answers.size(), 2U);
  EXPECT_EQ(result.answers[0].text, "Berlin");
  EXPECT_EQ(result.answers[0].begin, 7);
  EXPECT_EQ(result.answers[0].end, 13);
  EXPECT_EQ(result.answers[1].text, "");
}

TEST_F(Heads, TokenizeAndDetokenizeAreEachOthersWayBack) {
  const auto tokens = client_.Tokenize({"a"}, {.add_special_tokens = false,
                                               .truncation = Truncation::kLeft,
                                               .length_max = 9,
                                               .offset_unit = OffsetUnit::kByte});
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_EQ(server_.tokenizer.last.Get().options().ShortDebugString(),
            "add_special_tokens: false truncation: TRUNCATION_LEFT max_length: 9 offset_unit: "
            "OFFSET_UNIT_BYTE");
  ASSERT_EQ(tokens->tokenizations.at(0).tokens.size(), 2U);
  EXPECT_EQ(tokens->tokenizations[0].tokens[0].word_id, -1);
  EXPECT_EQ(tokens->tokenizations[0].tokens[1].word_id, 0);
  EXPECT_EQ(tokens->tokenizations[0].tokens[1].text, "caf\u00e9");
  const auto texts = client_.Detokenize({TokenIds{.ids = {5, 6}}, TokenIds{.ids = {7}}},
                                        {.model = "fake", .skip_special_tokens = false});
  ASSERT_TRUE(texts.ok()) << texts.status();
  EXPECT_EQ(
      server_.tokenizer.last_ids.Get().ShortDebugString(),
      "model: \"fake\" inputs { ids: 5 ids: 6 } inputs { ids: 7 } skip_special_tokens: false");
  EXPECT_THAT(texts->texts, ElementsAre("5 6", "7"));
}

TEST_F(Heads, SimilaritySendsBothListsAndReadsTheMatrix) {
  const auto reply = client_.Similarity({"a", "b"}, {"c"}, {.dimensions = 8});
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(server_.encoder.last_similarity.Get().ShortDebugString(),
            "sources { text: \"a\" } sources { text: \"b\" } targets { text: \"c\" } options { "
            "dimensions: 8 }");
  EXPECT_THAT(reply->similarities.shape, ElementsAre(2, 1));
  EXPECT_THAT(reply->similarities.values, ElementsAre(1, 0.5F));
}

TEST_F(Heads, AReplyThatAnswersSomethingElseIsAnError) {
  const absl::Status statuses[] = {client_.Classify({"lose", "a"}).status(),
                                   client_.ClassifyTokens({"lose", "a"}).status(),
                                   client_.Rerank("lose", {"a"}).status(),
                                   client_.FillMask({"lose", "a"}).status(),
                                   client_.Answer({{.question = "lose", .context = "c"}}).status(),
                                   client_.Tokenize({"lose", "a"}).status(),
                                   client_.Detokenize({TokenIds{.ids = {1}}}).status(),
                                   client_.Similarity({"lose", "a"}).status()};
  int number = 0;
  for (const absl::Status& status : statuses) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << number << ": " << status;
    ++number;
  }
}

TEST_F(Heads, AModelWithoutTheHeadIsAFailedPrecondition) {
  const absl::Status statuses[] = {
      client_.Classify({"refuse"}).status(), client_.ClassifyTokens({"refuse"}).status(),
      client_.Rerank("refuse", {"a"}).status(), client_.FillMask({"refuse"}).status(),
      client_.Answer({{.question = "refuse", .context = "c"}}).status()};
  int number = 0;
  for (const absl::Status& status : statuses) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << number << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("no such head"));
    ++number;
  }
}

}  // namespace
}  // namespace attnd::client
