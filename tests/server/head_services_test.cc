// Goal: what holds for every method of the new services holds for each: bytes that are no message,
// text that is not UTF-8, unknown models, models that cannot, full queues, and failures of ours.
// Method: one table of methods and requests that are right, sent as bytes to a server on a real
// port with a stub behind it.

#include <string>
#include <vector>

#include "attnd/v1/answer.grpc.pb.h"
#include "attnd/v1/classifier.grpc.pb.h"
#include "attnd/v1/fill_mask.grpc.pb.h"
#include "attnd/v1/rerank.grpc.pb.h"
#include "attnd/v1/tokenizer.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/head_server.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using testing::ExpectRefused;
using ::testing::HasSubstr;
using testing::HeadServer;
using ::testing::Not;
using testing::ReasonIn;
using testing::StubHead;
using testing::TestServer;

struct RightRequest {
  std::string method;
  StubHead head;            // Of a model that can answer it.
  std::string bytes;        // With `kText` somewhere in a text.
  std::string text_field;   // Where that is.
  std::string other_model;  // The same request, for a model that is not served.
};
constexpr char kText[] = "[MASK]";

template <typename Request>
RightRequest Right(const std::string& method, const StubHead& head, Request request,
                   const std::string& text_field) {
  RightRequest right{method, head, request.SerializeAsString(), text_field, ""};
  request.set_model("other");
  right.other_model = request.SerializeAsString();
  return right;
}

std::vector<RightRequest> ModelMethods() {
  const StubHead sequence = {.kind = HeadKind::kSequenceLabels, .labels = {"x"}};
  const StubHead tokens = {.kind = HeadKind::kTokenLabels, .labels = {"O", "B-PER"}};
  v1::ClassifyRequest classify;
  classify.add_inputs()->set_text(kText);
  v1::ClassifyTokensRequest classify_tokens;
  classify_tokens.add_inputs()->set_text(kText);
  v1::RerankRequest rerank;
  rerank.set_query("q");
  rerank.add_documents(kText);
  v1::FillMaskRequest fill_mask;
  fill_mask.add_inputs()->set_text(kText);
  v1::AnswerRequest answer;
  answer.add_questions()->set_question("q");
  answer.mutable_questions(0)->set_context(kText);
  return {
      Right("/attnd.v1.ClassifierService/Classify", sequence, classify, "inputs[0].text"),
      Right("/attnd.v1.ClassifierService/ClassifyTokens", tokens, classify_tokens,
            "inputs[0].text"),
      Right("/attnd.v1.RerankService/Rerank", sequence, rerank, "documents[0]"),
      Right("/attnd.v1.FillMaskService/FillMask", {.kind = HeadKind::kVocabulary}, fill_mask,
            "inputs[0].text"),
      Right("/attnd.v1.AnswerService/Answer", {.kind = HeadKind::kSpan}, answer,
            "questions[0].context"),
  };
}

std::vector<RightRequest> AllMethods() {
  std::vector<RightRequest> all = ModelMethods();
  v1::TokenizeRequest tokenize;
  tokenize.add_inputs()->set_text(kText);
  v1::DetokenizeRequest detokenize;
  detokenize.add_inputs()->add_ids(5);
  all.push_back(Right("/attnd.v1.TokenizerService/Tokenize", {}, tokenize, "inputs[0].text"));
  all.push_back(Right("/attnd.v1.TokenizerService/Detokenize", {}, detokenize, ""));
  return all;
}

grpc::Status Send(TestServer& server, const RightRequest& right) {
  return testing::SendRaw(server, right.method, right.bytes);
}

TEST(HeadServicesTest, ARightRequestIsAnswered) {
  for (const RightRequest& right : AllMethods()) {
    HeadServer server(right.head);
    const grpc::Status status = Send(server, right);
    EXPECT_TRUE(status.ok()) << right.method << ": " << status.error_message();
  }
}

TEST(HeadServicesTest, BytesThatAreNoMessageAndTextThatIsNotUtf8AreRefused) {
  for (const RightRequest& right : AllMethods()) {
    SCOPED_TRACE(right.method);
    HeadServer server(right.head);
    ExpectRefused(testing::SendRaw(server, right.method, "\xff\xff\xff"),
                  {.reason = "MALFORMED_REQUEST", .field = ""});
    if (right.text_field.empty()) continue;
    std::string bytes = right.bytes;
    bytes.replace(bytes.find(kText), 2, "\xc3(");
    ExpectRefused(testing::SendRaw(server, right.method, bytes),
                  {.reason = "INVALID_UTF8", .field = right.text_field});
  }
}

TEST(HeadServicesTest, AModelThatIsNotServedIsNotFound) {
  for (const RightRequest& right : AllMethods()) {
    SCOPED_TRACE(right.method);
    HeadServer server(right.head);
    ExpectRefused(
        testing::SendRaw(server, right.method, right.other_model),
        {.code = grpc::StatusCode::NOT_FOUND, .reason = "UNKNOWN_MODEL", .field = "model"});
  }
}

TEST(HeadServicesTest, AModelThatCannotSaysWhatItCan) {
  const std::vector<RightRequest> methods = ModelMethods();
  for (const RightRequest& right : methods) {
    SCOPED_TRACE(right.method);
    for (const RightRequest& other : methods) {
      if (other.head.kind == right.head.kind) continue;
      HeadServer server(other.head);
      const std::string able = other.method.substr(other.method.rfind('/') + 1);
      ExpectRefused(Send(server, right), {.code = grpc::StatusCode::FAILED_PRECONDITION,
                                          .reason = "NOT_SUPPORTED_BY_MODEL",
                                          .field = "",
                                          .says = able});
      EXPECT_EQ(server.model().computed(), 0);
    }
    TestServer without;
    ExpectRefused(Send(without, right),
                  {.code = grpc::StatusCode::FAILED_PRECONDITION,
                   .reason = "NOT_SUPPORTED_BY_MODEL",
                   .field = "",
                   .says = "the model has no head, and can do: Encode, Tokenize, Detokenize"});
  }
}

TEST(HeadServicesTest, AFullQueueAsksToComeBackLater) {
  for (const RightRequest& right : ModelMethods()) {
    SCOPED_TRACE(right.method);
    Config config = TestServer::DefaultConfig();
    config.limits.queue_requests = 1;
    HeadServer server(right.head, config);
    server.model().Hold();
    testing::PendingEncode running(server, testing::TextRequest("a"));
    server.model().AwaitHeld();
    testing::PendingEncode waiting(server, testing::TextRequest("b"));
    ASSERT_TRUE(testing::Eventually([&] { return server.server().queue_depth().jobs == 1; }));
    ExpectRefused(
        Send(server, right),
        {.code = grpc::StatusCode::RESOURCE_EXHAUSTED, .reason = "QUEUE_FULL", .field = ""});
    server.model().Release();
    EXPECT_TRUE(running.Await().ok());
    EXPECT_TRUE(waiting.Await().ok());
    EXPECT_TRUE(testing::Eventually([&] { return Send(server, right).ok(); }));
  }
}

// What is held goes back when the call ends: else the calls after it would find no room.
TEST(HeadServicesTest, MemoryThatRequestsHoldIsBoundAndGivenBack) {
  for (const RightRequest& right : ModelMethods()) {
    SCOPED_TRACE(right.method);
    Config config = TestServer::DefaultConfig();
    config.limits.held_bytes = 1;
    HeadServer server(right.head, config);
    server.model().Hold();
    testing::PendingEncode running(server, testing::TextRequest("a"));
    server.model().AwaitHeld();
    ExpectRefused(Send(server, right), {.code = grpc::StatusCode::RESOURCE_EXHAUSTED,
                                        .reason = "QUEUE_FULL",
                                        .field = "",
                                        .says = "held-bytes"});
    server.model().Release();
    EXPECT_TRUE(running.Await().ok());
    for (int i = 0; i < 2; ++i) {
      EXPECT_TRUE(testing::Eventually([&] { return Send(server, right).ok(); }));
    }
  }
}

TEST(HeadServicesTest, AFailureOfOursTellsTheCallerNothingOfIt) {
  for (const RightRequest& right : ModelMethods()) {
    HeadServer server(right.head);
    server.model().FailWith(absl::InternalError("secret"));
    const grpc::Status status = Send(server, right);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL) << right.method;
    EXPECT_EQ(ReasonIn(status.error_details()), "INTERNAL") << right.method;
    EXPECT_THAT(status.error_message(), Not(HasSubstr("secret")));
  }
}

TEST(HeadServicesTest, ACancelledRequestIsNeverComputed) {
  HeadServer server({.kind = HeadKind::kSequenceLabels, .labels = {"x"}});
  server.model().Hold();
  testing::PendingEncode running(server, testing::TextRequest("a"));
  server.model().AwaitHeld();
  grpc::ClientContext context;
  v1::ClassifyRequest request;
  for (int i = 0; i < 3; ++i) request.add_inputs()->set_text("b");
  v1::ClassifyResponse response;
  grpc::Status status;
  absl::Notification done;
  const auto stub = v1::ClassifierService::NewStub(server.channel());
  stub->async()->Classify(&context, &request, &response, [&](grpc::Status result) {
    status = std::move(result);
    done.Notify();
  });
  ASSERT_TRUE(testing::Eventually([&] { return server.server().queue_depth().jobs == 3; }));
  context.TryCancel();
  done.WaitForNotification();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
  ASSERT_TRUE(testing::Eventually([&] { return server.server().requests_in_flight() == 1; }));
  server.model().Release();
  EXPECT_TRUE(running.Await().ok());
  EXPECT_EQ(server.model().computed(), 1);
}

TEST(HeadServicesTest, HealthKnowsEveryService) {
  TestServer server;
  for (const RightRequest& right : AllMethods()) {
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(right.method.substr(1, right.method.rfind('/') - 1));
    grpc::health::v1::HealthCheckResponse response;
    ASSERT_TRUE(server.health().Check(&context, request, &response).ok()) << request.service();
    EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVING);
  }
}

TEST(HeadServicesTest, TheModelsHeadIsDescribedWithItsLimits) {
  StubHead head = {.kind = HeadKind::kSequenceLabels,
                   .labels = {"no", "yes"},
                   .score_function = ScoreFunction::kSoftmax};
  HeadServer server(head);
  grpc::ClientContext context;
  v1::GetModelResponse response;
  ASSERT_TRUE(server.models().GetModel(&context, {}, &response).ok());
  EXPECT_EQ(response.model().head(), v1::HEAD_SEQUENCE_LABELS);
  EXPECT_THAT(response.model().labels(), ElementsAre("no", "yes"));
  EXPECT_EQ(response.model().score_function(), v1::SCORE_FUNCTION_SOFTMAX);
  EXPECT_EQ(response.model().limits().documents_per_request(), 256);
  EXPECT_EQ(response.model().limits().candidates_per_mask(), 100);
  EXPECT_EQ(response.model().limits().answers_per_question(), 100);

  TestServer plain(TestServer::DefaultConfig(), [](ServedModel& model) {
    model.info.prompts = {{"query", "query: "}, {"passage", ""}};
    model.info.default_prompt_name = "query";
    model.info.projection = 128;
  });
  grpc::ClientContext other;
  ASSERT_TRUE(plain.models().GetModel(&other, {}, &response).ok());
  EXPECT_EQ(response.model().head(), v1::HEAD_UNSPECIFIED);
  EXPECT_EQ(response.model().score_function(), v1::SCORE_FUNCTION_UNSPECIFIED);
  EXPECT_EQ(response.model().prompts().at("query"), "query: ");
  EXPECT_EQ(response.model().prompts_size(), 2);
  EXPECT_EQ(response.model().default_prompt_name(), "query");
  EXPECT_EQ(response.model().projection_size(), 128);
}

}  // namespace
}  // namespace attnd
