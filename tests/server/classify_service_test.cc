// Goal: Classify answers with the labels of the head's logits, and refuses every wrong field by
// name. Method: a server on a real port whose stub head has known logits; expected scores are
// written out or come from the formula.

#include <cmath>
#include <string>
#include <vector>

#include "attnd/v1/classifier.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/validate/tensor.h"
#include "tests/server/head_server.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using testing::ExpectRefused;
using testing::HeadServer;
using testing::StubHead;
using testing::TestServer;
using testing::WrongRequest;

// Three labels; the logits of a text that begins with "a" are 1, 2, 3 thirds, of "b" 2, 4, 6.
StubHead ThreeLabels(ScoreFunction function = ScoreFunction::kSoftmax) {
  return {.kind = HeadKind::kSequenceLabels,
          .labels = {"bad", "good", "so-so"},
          .score_function = function,
          .fill = [](EncodeTask& task) {
            const int32_t letter = task.ids.empty() ? 1 : task.ids[1] - testing::LetterId('a') + 1;
            for (size_t label = 0; label < task.logits_out.size(); ++label) {
              task.logits_out[label] = static_cast<float>(letter * (label + 1)) / 3;
            }
          }};
}

v1::ClassifyRequest TextsRequest(const std::vector<std::string>& texts) {
  v1::ClassifyRequest request;
  for (const std::string& text : texts) request.add_inputs()->set_text(text);
  return request;
}

grpc::Status Classify(TestServer& server, const v1::ClassifyRequest& request,
                      v1::ClassifyResponse* response = nullptr) {
  grpc::ClientContext context;
  v1::ClassifyResponse ignored;
  return v1::ClassifierService::NewStub(server.channel())
      ->Classify(&context, request, response ? response : &ignored);
}

std::vector<std::string> LabelsOf(const v1::Classification& classification) {
  std::vector<std::string> labels;
  for (const v1::LabelScore& score : classification.labels()) labels.push_back(score.label());
  return labels;
}

TEST(ClassifyTest, AllLabelsComeBestFirstWithTheModelsScores) {
  HeadServer server(ThreeLabels());
  v1::ClassifyResponse response;
  ASSERT_TRUE(Classify(server, TextsRequest({"a", "b c"}), &response).ok());
  EXPECT_EQ(response.model().name(), "stub");
  EXPECT_EQ(response.model().version(), "0123456789abcdef");
  ASSERT_EQ(response.classifications_size(), 2);
  for (int i = 0; i < 2; ++i) {
    const v1::Classification& classification = response.classifications(i);
    EXPECT_EQ(classification.input_index(), i);
    EXPECT_EQ(classification.token_count(), 3 + i);
    EXPECT_FALSE(classification.truncated());
    EXPECT_GT(classification.timings().batch_tokens(), 0);
    EXPECT_THAT(LabelsOf(classification), ElementsAre("so-so", "good", "bad"));
    const double step = (i + 1) / 3.0;
    const double sum = std::exp(step) + std::exp(2 * step) + std::exp(3 * step);
    for (int rank = 0; rank < 3; ++rank) {
      EXPECT_EQ(classification.labels(rank).label_id(), 2 - rank);
      EXPECT_FLOAT_EQ(classification.labels(rank).score(),
                      static_cast<float>(std::exp((3 - rank) * step) / sum));
      EXPECT_FALSE(classification.labels(rank).has_logit());
    }
  }
}

TEST(ClassifyTest, TheRequestChoosesFunctionNumberAndLogits) {
  HeadServer server(ThreeLabels());
  v1::ClassifyRequest request = TextsRequest({"c"});  // Logits 1, 2, 3.
  request.mutable_options()->set_top_k(2);
  request.mutable_options()->set_return_logits(true);
  request.mutable_options()->set_score_function(v1::SCORE_FUNCTION_SIGMOID);
  v1::ClassifyResponse response;
  ASSERT_TRUE(Classify(server, request, &response).ok());
  ASSERT_THAT(LabelsOf(response.classifications(0)), ElementsAre("so-so", "good"));
  EXPECT_FLOAT_EQ(response.classifications(0).labels(0).score(), 0.95257413f);
  EXPECT_FLOAT_EQ(response.classifications(0).labels(0).logit(), 3);
  request.mutable_options()->set_score_function(v1::SCORE_FUNCTION_NONE);
  ASSERT_TRUE(Classify(server, request, &response).ok());
  EXPECT_FLOAT_EQ(response.classifications(0).labels(1).score(), 2);
}

TEST(ClassifyTest, TheModelsFunctionIsItsOwn) {
  HeadServer server(ThreeLabels(ScoreFunction::kSigmoid));
  v1::ClassifyResponse response;
  ASSERT_TRUE(Classify(server, TextsRequest({"c"}), &response).ok());
  EXPECT_FLOAT_EQ(response.classifications(0).labels(2).score(), 0.7310586f);
}

TEST(ClassifyTest, EqualScoresComeByLabel) {
  HeadServer server(
      {.kind = HeadKind::kSequenceLabels, .labels = {"x", "y", "z"}, .fill = [](auto& task) {
         task.logits_out = {1, 5, 5};
       }});
  v1::ClassifyResponse response;
  ASSERT_TRUE(Classify(server, TextsRequest({"a"}), &response).ok());
  EXPECT_THAT(LabelsOf(response.classifications(0)), ElementsAre("y", "z", "x"));
}

TEST(ClassifyTest, EveryKindOfInputIsClassifiedAndMayBeCut) {
  HeadServer server(ThreeLabels());
  v1::ClassifyRequest request;
  request.add_inputs()->mutable_text_pair()->set_first("a");
  request.mutable_inputs(0)->mutable_text_pair()->set_second("b");
  auto& ids = *request.add_inputs()->mutable_token_ids();
  for (const int32_t id : {testing::kCls, testing::LetterId('b'), testing::kSep}) ids.add_ids(id);
  WriteFloats(std::vector<float>(2 * testing::kHidden), std::vector<int64_t>{2, testing::kHidden},
              *request.add_inputs()->mutable_input_embeddings());
  request.add_inputs()->set_text("a b c d e f");
  request.mutable_options()->set_truncation(v1::TRUNCATION_RIGHT);
  request.mutable_options()->set_max_length(5);
  v1::ClassifyResponse response;
  const grpc::Status status = Classify(server, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.classifications(0).token_count(), 5);
  EXPECT_EQ(response.classifications(1).token_count(), 3);
  EXPECT_EQ(response.classifications(2).token_count(), 2);
  EXPECT_EQ(response.classifications(3).token_count(), 5);
  EXPECT_FALSE(response.classifications(2).truncated());
  EXPECT_TRUE(response.classifications(3).truncated());
}

TEST(ClassifyTest, EveryWrongFieldIsRefusedByName) {
  HeadServer server(ThreeLabels());
  using Request = v1::ClassifyRequest;
  const std::vector<WrongRequest<Request>> kWrong = {
      {[](Request& r) { r.clear_inputs(); }, {.reason = "MISSING_FIELD", .field = "inputs"}},
      {[](Request& r) {
         for (int i = 0; i < 32; ++i) r.add_inputs()->set_text("a");
       },
       {.reason = "OVER_LIMIT",
        .field = "inputs",
        .says = "33 inputs are more than the limit of 32"}},
      {[](Request& r) { r.add_inputs(); }, {.reason = "MISSING_FIELD", .field = "inputs[1]"}},
      {[](Request& r) { r.mutable_inputs(0)->mutable_token_ids()->add_ids(-1); },
       {.reason = "ID_OUT_OF_RANGE", .field = "inputs[0].token_ids.ids[0]"}},
      {[](Request& r) { r.mutable_inputs(0)->set_text(std::string(70'000, 'a')); },
       {.reason = "OVER_LIMIT", .field = "inputs[0].text", .says = "65536"}},
      {[](Request& r) {
         for (int i = 0; i < 5; ++i) r.add_inputs()->set_text(std::string(60'000, 'a'));
       },
       {.reason = "OVER_LIMIT", .field = "inputs", .says = "request-text-bytes"}},
      {[](Request& r) {
         std::string text;
         for (int i = 0; i < 31; ++i) text += "a ";
         r.mutable_inputs(0)->set_text(text);
       },
       {.reason = "TOO_LONG", .field = "inputs[0].text", .says = "33 tokens"}},
      {[](Request& r) { r.mutable_options()->set_top_k(0); },
       {.reason = "INVALID_VALUE", .field = "options.top_k", .says = "at least 1"}},
      {[](Request& r) { r.mutable_options()->set_top_k(4); },
       {.reason = "INVALID_VALUE", .field = "options.top_k", .says = "3 labels"}},
      {[](Request& r) {
         r.mutable_options()->set_score_function(static_cast<v1::ScoreFunction>(9));
       },
       {.reason = "INVALID_VALUE", .field = "options.score_function"}},
      {[](Request& r) { r.mutable_options()->set_truncation(static_cast<v1::Truncation>(9)); },
       {.reason = "INVALID_VALUE", .field = "options.truncation"}},
      {[](Request& r) { r.mutable_options()->set_max_length(65); },
       {.reason = "INVALID_VALUE", .field = "options.max_length", .says = "between 1 and 64"}},
      {[](Request& r) { r.mutable_options()->set_max_length(0); },
       {.reason = "INVALID_VALUE", .field = "options.max_length"}},
  };
  for (const auto& [change, refusal] : kWrong) {
    Request request = TextsRequest({"a"});
    change(request);
    SCOPED_TRACE(refusal.field + " " + refusal.reason);
    ExpectRefused(Classify(server, request), refusal);
  }
  EXPECT_EQ(server.model().computed(), 0);
}

TEST(ClassifyTest, AReplyThatCouldNotBeSentIsRefusedBeforeItIsComputed) {
  Config config = TestServer::DefaultConfig();
  config.limits.message_bytes = 70'000;
  StubHead head = ThreeLabels();
  head.labels = {std::string(40'000, 'x'), std::string(40'000, 'y')};
  HeadServer server(head, config);
  ExpectRefused(Classify(server, TextsRequest({"a"})),
                {.reason = "REPLY_TOO_LARGE", .field = "inputs", .says = "70000"});
  EXPECT_EQ(server.model().computed(), 0);
  v1::ClassifyRequest one = TextsRequest({"a"});
  one.mutable_options()->set_top_k(1);
  EXPECT_TRUE(Classify(server, one).ok());
}

TEST(ClassifyTest, MoreThanTheQueueEverTakesIsRefused) {
  Config config = TestServer::DefaultConfig();
  config.limits.queue_requests = 1;
  HeadServer server(ThreeLabels(), config);
  ExpectRefused(
      Classify(server, TextsRequest({"a", "b"})),
      {.reason = "OVER_LIMIT", .field = "inputs", .says = "2 inputs or windows are more than"});
}

}  // namespace
}  // namespace attnd
