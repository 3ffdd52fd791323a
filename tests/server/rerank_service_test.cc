// Goal: Rerank puts documents in the order of the cross-encoder's logits, and refuses every wrong
// field by name. Method: a server on a real port whose stub head says of a pair what its second
// text begins with; expected orders and scores are written out.

#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "attnd/v1/rerank.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/head_server.h"

namespace attnd {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using testing::ExpectRefused;
using testing::HeadServer;
using testing::LetterId;
using testing::StubHead;
using testing::TestServer;
using testing::WrongRequest;

// The logit is the place in the alphabet of the document's first letter: a is 0.
StubHead CrossEncoder() {
  return {.kind = HeadKind::kSequenceLabels,
          .labels = {"LABEL_0"},
          .score_function = ScoreFunction::kSigmoid,
          .fill = [](EncodeTask& task) {
            for (size_t row = 0; row + 1 < task.ids.size(); ++row) {
              if (task.ids[row] != testing::kSep) continue;
              task.logits_out[0] = static_cast<float>(task.ids[row + 1] - LetterId('a'));
              break;
            }
          }};
}

v1::RerankRequest Request(const std::vector<std::string>& documents) {
  v1::RerankRequest request;
  request.set_query("q q");
  request.mutable_documents()->Assign(documents.begin(), documents.end());
  return request;
}

grpc::Status Rerank(TestServer& server, const v1::RerankRequest& request,
                    v1::RerankResponse* response = nullptr) {
  grpc::ClientContext context;
  v1::RerankResponse ignored;
  return v1::RerankService::NewStub(server.channel())
      ->Rerank(&context, request, response ? response : &ignored);
}

std::vector<int32_t> OrderOf(const v1::RerankResponse& response) {
  std::vector<int32_t> order;
  for (const v1::RankedDocument& result : response.results()) order.push_back(result.index());
  return order;
}

TEST(RerankTest, TheBestComesFirstAndEqualOnesInTheOrderOfTheRequest) {
  HeadServer server(CrossEncoder());
  v1::RerankResponse response;
  ASSERT_TRUE(Rerank(server, Request({"b", "d x", "a", "d"}), &response).ok());
  EXPECT_EQ(response.model().name(), "stub");
  EXPECT_THAT(OrderOf(response), ElementsAre(1, 3, 0, 2));
  EXPECT_FLOAT_EQ(response.results(0).score(), 0.95257413f);  // sigmoid(3)
  EXPECT_FLOAT_EQ(response.results(3).score(), 0.5f);
  EXPECT_FALSE(response.results(0).has_logit());
  EXPECT_EQ(response.results(0).document(), "");
  EXPECT_EQ(response.token_count(), 4 * 6 + 1);  // [CLS] q q [SEP] x [SEP], and "d x" has one more.
  EXPECT_GT(response.timings().batch_tokens(), 0);
  EXPECT_GT(response.timings().tokenize_seconds(), 0);
}

// Sigmoid of 30 and of 40 are both 1 as float.
TEST(RerankTest, RankingIsByLogitsEvenWhereScoresRoundToOne) {
  StubHead head = CrossEncoder();
  head.fill = [fill = head.fill](EncodeTask& task) {
    fill(task);
    task.logits_out[0] = 30 + 10 * task.logits_out[0];
  };
  HeadServer server(head);
  v1::RerankResponse response;
  ASSERT_TRUE(Rerank(server, Request({"a", "b"}), &response).ok());
  EXPECT_THAT(OrderOf(response), ElementsAre(1, 0));
  EXPECT_EQ(response.results(0).score(), response.results(1).score());
}

TEST(RerankTest, TheRequestChoosesHowManyAndWhatOfThem) {
  HeadServer server(CrossEncoder());
  v1::RerankRequest request = Request({"b", "c", "a"});
  request.mutable_options()->set_top_n(2);
  request.mutable_options()->set_return_documents(true);
  request.mutable_options()->set_return_logits(true);
  request.mutable_options()->set_score_function(v1::SCORE_FUNCTION_NONE);
  v1::RerankResponse response;
  ASSERT_TRUE(Rerank(server, request, &response).ok());
  EXPECT_THAT(OrderOf(response), ElementsAre(1, 0));
  EXPECT_EQ(response.results(0).document(), "c");
  EXPECT_EQ(response.results(0).score(), 2);
  EXPECT_EQ(response.results(0).logit(), 2);
  request.mutable_options()->set_top_n(1000);  // There are no more than three.
  ASSERT_TRUE(Rerank(server, request, &response).ok());
  EXPECT_THAT(OrderOf(response), ElementsAre(1, 0, 2));
}

TEST(RerankTest, WhatIsCutIsTheDocument) {
  StubHead head = CrossEncoder();
  absl::Mutex mutex;
  std::vector<int32_t> seen;
  head.fill = [&](EncodeTask& task) {
    absl::MutexLock lock(&mutex);
    seen = task.ids;
  };
  HeadServer server(head);
  v1::RerankRequest request = Request({"a b c d e f g h"});
  request.set_query("q r s t");
  request.mutable_options()->set_truncation(v1::TRUNCATION_RIGHT);
  request.mutable_options()->set_max_length(8);
  v1::RerankResponse response;
  ASSERT_TRUE(Rerank(server, request, &response).ok());
  EXPECT_TRUE(response.results(0).truncated());
  EXPECT_THAT(seen, ElementsAre(testing::kCls, LetterId('q'), LetterId('r'), LetterId('s'),
                                LetterId('t'), testing::kSep, LetterId('a'), testing::kSep));
  // A query that leaves no room is refused.
  request.mutable_options()->set_max_length(7);
  ExpectRefused(Rerank(server, request),
                {.reason = "TOO_LONG", .field = "documents[0]", .says = "maximum length 7"});
}

// As DistilBERT, whose tokenizer says 1 of the second text all the same.
TEST(RerankTest, AModelWithoutTokenTypesReadsPairsToo) {
  StubHead head = CrossEncoder();
  head.token_types = 0;
  absl::Mutex mutex;
  std::vector<int32_t> types;
  head.fill = [&](EncodeTask& task) {
    absl::MutexLock lock(&mutex);
    types = task.types;
  };
  HeadServer server(head);
  EXPECT_TRUE(Rerank(server, Request({"a"})).ok());
  EXPECT_THAT(types, Each(0));
  head.token_types = 1;  // A table of one type is a mistake in the model's directory.
  HeadServer other(head);
  ExpectRefused(Rerank(other, Request({"a"})),
                {.reason = "ID_OUT_OF_RANGE", .field = "documents[0][4]", .says = "1 token types"});
}

TEST(RerankTest, EveryWrongFieldIsRefusedByName) {
  Config config = TestServer::DefaultConfig();
  config.limits.documents_per_request = 3;
  HeadServer server(CrossEncoder(), config);
  using Wrong = v1::RerankRequest;
  const std::vector<WrongRequest<Wrong>> kWrong = {
      {[](Wrong& r) { r.clear_query(); }, {.reason = "MISSING_FIELD", .field = "query"}},
      {[](Wrong& r) { r.clear_documents(); }, {.reason = "MISSING_FIELD", .field = "documents"}},
      {[](Wrong& r) {
         for (int i = 0; i < 3; ++i) *r.add_documents() = r.documents(0);
       },
       {.reason = "OVER_LIMIT",
        .field = "documents",
        .says = "4 documents are more than the limit of 3 (documents-per-request)"}},
      {[](Wrong& r) { r.add_documents(std::string(70'000, 'a')); },
       {.reason = "OVER_LIMIT", .field = "documents[1]", .says = "text-bytes"}},
      {[](Wrong& r) {
         r.set_query(std::string(60'000, 'a'));
         for (int i = 0; i < 2; ++i) r.add_documents(std::string(60'000, 'a'));
       },
       {.reason = "OVER_LIMIT", .field = "documents", .says = "request-text-bytes"}},
      {[](Wrong& r) {
         std::string text;
         for (int i = 0; i < 40; ++i) text += "a ";
         r.add_documents(text);
       },
       {.reason = "TOO_LONG", .field = "documents[1]", .says = "45 tokens"}},
      {[](Wrong& r) { r.mutable_options()->set_top_n(0); },
       {.reason = "INVALID_VALUE", .field = "options.top_n", .says = "at least 1"}},
      {[](Wrong& r) { r.mutable_options()->set_score_function(static_cast<v1::ScoreFunction>(9)); },
       {.reason = "INVALID_VALUE", .field = "options.score_function"}},
      {[](Wrong& r) { r.mutable_options()->set_truncation(static_cast<v1::Truncation>(9)); },
       {.reason = "INVALID_VALUE", .field = "options.truncation"}},
      {[](Wrong& r) { r.mutable_options()->set_max_length(-1); },
       {.reason = "INVALID_VALUE", .field = "options.max_length"}},
  };
  for (const auto& [change, refusal] : kWrong) {
    Wrong request = Request({"a"});
    change(request);
    SCOPED_TRACE(refusal.field + " " + refusal.reason);
    ExpectRefused(Rerank(server, request), refusal);
  }
  EXPECT_EQ(server.model().computed(), 0);
}

// 256 documents may be named, but only short ones wait at once.
TEST(RerankTest, DocumentsThatCouldNeverWaitTogetherAreRefusedWithTheWayOut) {
  Config config = TestServer::DefaultConfig();
  config.limits.queue_tokens = 4096;
  HeadServer server(CrossEncoder(), config);
  std::string text;
  for (int i = 0; i < 24; ++i) text += "a ";
  v1::RerankRequest request = Request(std::vector<std::string>(200, text));
  ExpectRefused(
      Rerank(server, request),
      {.reason = "OVER_LIMIT",
       .field = "documents",
       .says = "more than the queue ever takes, 4096 (queue-tokens). Send fewer or shorter "
               "documents, cut them with truncation and a smaller max_length, or raise "
               "the server's --queue-tokens."});
  EXPECT_EQ(server.model().computed(), 0);
  request.mutable_options()->set_truncation(v1::TRUNCATION_RIGHT);
  request.mutable_options()->set_max_length(20);
  const grpc::Status status = Rerank(server, request);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST(RerankTest, DocumentsThatCouldNotBeSentBackAreRefusedBeforeTheyAreComputed) {
  Config config = TestServer::DefaultConfig();
  config.limits.message_bytes = 66'000;
  config.limits.text_bytes = 70'000;
  HeadServer server(CrossEncoder(), config);
  v1::RerankRequest request = Request({std::string(65'800, ' ')});
  EXPECT_TRUE(Rerank(server, request).ok());
  request.mutable_options()->set_return_documents(true);
  ExpectRefused(Rerank(server, request),
                {.reason = "REPLY_TOO_LARGE", .field = "documents", .says = "message-bytes"});
  EXPECT_EQ(server.model().computed(), 1);
}

TEST(RerankTest, AModelOfSeveralLabelsCannotRank) {
  StubHead head = CrossEncoder();
  head.labels = {"no", "yes"};
  HeadServer server(head);
  ExpectRefused(Rerank(server, Request({"a"})), {.code = grpc::StatusCode::FAILED_PRECONDITION,
                                                 .reason = "NOT_SUPPORTED_BY_MODEL",
                                                 .field = "",
                                                 .says = "2 labels of sequences, and can do: "
                                                         "Encode, Classify, Tokenize, Detokenize"});
}

}  // namespace
}  // namespace attnd
