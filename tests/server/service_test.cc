// Goal: every unary method answers, and every status and reason that a caller can cause comes over
// the wire as promised. Method: a server on a real port with a stub behind its engine; a gate holds
// the worker where a test needs a queue, so that nothing depends on time.

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/validate/tensor.h"
#include "tests/server/test_server.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using testing::Encode;
using testing::Eventually;
using testing::FieldIn;
using ::testing::HasSubstr;
using testing::IdsRequest;
using ::testing::Not;
using testing::PendingEncode;
using testing::ReasonIn;
using testing::TestServer;
using testing::TextRequest;

std::vector<float> FloatsOf(const v1::Tensor& tensor) {
  return *ReadFloats(tensor, NonFinite::kAll, "");
}

TEST(EncodeTest, RepliesInTheOrderOfTheInputsWithEverythingAskedFor) {
  TestServer server;
  v1::EncodeRequest request = TextRequest("a b");
  *request.add_inputs() = IdsRequest(7, 2).inputs(0);
  request.mutable_options()->set_return_token_vectors(true);
  v1::EncodeResponse response;
  ASSERT_TRUE(Encode(server, request, &response).ok());

  EXPECT_EQ(response.model().name(), "stub");
  EXPECT_EQ(response.model().version(), "0123456789abcdef");
  ASSERT_EQ(response.encodings_size(), 2);
  const v1::Encoding& text = response.encodings(0);
  EXPECT_EQ(text.token_count(), 4);
  EXPECT_FALSE(text.truncated());
  EXPECT_THAT(text.tokens().strings(), ElementsAre("[CLS]", "a", "b", "[SEP]"));
  EXPECT_THAT(text.tokens().starts(), ElementsAre(0, 0, 2, 0));
  EXPECT_THAT(text.tokens().ends(), ElementsAre(0, 1, 3, 0));
  EXPECT_THAT(text.tokens().text_indices(), ElementsAre(-1, 0, 0, -1));
  EXPECT_THAT(text.tokens().special(), ElementsAre(true, false, false, true));
  EXPECT_THAT(text.token_vectors().shape(), ElementsAre(4, testing::kHidden));
  EXPECT_THAT(text.pooled().shape(), ElementsAre(testing::kHidden));
  EXPECT_GT(text.timings().batch_tokens(), 0);

  const v1::Encoding& ids = response.encodings(1);
  EXPECT_EQ(ids.input_index(), 1);
  EXPECT_THAT(FloatsOf(ids.token_vectors()), ::testing::Each(7.0f));
  EXPECT_THAT(ids.tokens().text_indices(), ElementsAre(-1, -1));
}

TEST(EncodeTest, ThePooledVectorIsTheDefaultAndNothingElse) {
  TestServer server;
  v1::EncodeResponse response;
  ASSERT_TRUE(Encode(server, TextRequest("a"), &response).ok());
  EXPECT_TRUE(response.encodings(0).has_pooled());
  EXPECT_FALSE(response.encodings(0).has_token_vectors());
  EXPECT_FALSE(response.encodings(0).has_tokens());
}

TEST(EncodeTest, ARefusalCarriesCodeReasonAndField) {
  TestServer server;
  v1::EncodeRequest unknown = TextRequest("a");
  unknown.set_model("other");
  grpc::Status status = Encode(server, unknown);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(ReasonIn(status.error_details()), "UNKNOWN_MODEL");

  status = Encode(server, IdsRequest(-1));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(ReasonIn(status.error_details()), "ID_OUT_OF_RANGE");
  EXPECT_EQ(FieldIn(status.error_details()), "inputs[0].token_ids.ids[0]");

  v1::EncodeRequest pooler = TextRequest("a");
  pooler.mutable_options()->set_pooling(v1::POOLING_POOLER);
  status = Encode(server, pooler);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(ReasonIn(status.error_details()), "NOT_SUPPORTED_BY_MODEL");
  EXPECT_EQ(server.model().computed(), 0);
}

TEST(EncodeTest, OneBadInputFailsAllBeforeAnyIsComputed) {
  TestServer server;
  v1::EncodeRequest request = TextRequest("a");
  *request.add_inputs() = IdsRequest(-1).inputs(0);
  EXPECT_EQ(FieldIn(Encode(server, request).error_details()), "inputs[1].token_ids.ids[0]");
  EXPECT_EQ(server.model().computed(), 0);
}

TEST(MalformedTest, BytesThatAreNoMessageAreInvalidArgumentOnEveryMethod) {
  TestServer server;
  for (const char* method :
       {"/attnd.v1.EncoderService/Encode", "/attnd.v1.EncoderService/Similarity",
        "/attnd.v1.AttentionService/Attend", "/attnd.v1.AttentionService/SelfAttention",
        "/attnd.v1.ModelService/ListModels", "/attnd.v1.ModelService/GetModel",
        "/grpc.health.v1.Health/Check"}) {
    const grpc::Status status = testing::SendRaw(server, method, "\xff\xff\xff");
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << method;
    EXPECT_EQ(ReasonIn(status.error_details()), "MALFORMED_REQUEST") << method;
  }
}

TEST(MalformedTest, TextThatIsNotUtf8IsNamed) {
  TestServer server;
  v1::EncodeRequest request = TextRequest("fine");
  request.add_inputs()->mutable_text_pair()->set_second("1234");
  std::string bytes = request.SerializeAsString();
  bytes.replace(bytes.find("1234"), 4, "12\xc3(");
  const grpc::Status status = testing::SendRaw(server, "/attnd.v1.EncoderService/Encode", bytes);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(ReasonIn(status.error_details()), "INVALID_UTF8");
  EXPECT_EQ(FieldIn(status.error_details()), "inputs[1].text_pair.second");
}

TEST(MalformedTest, AnUnknownMethodIsUnimplemented) {
  TestServer server;
  EXPECT_EQ(testing::SendRaw(server, "/attnd.v1.EncoderService/Decode", "").error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
}

TEST(LimitTest, ARequestOverTheMessageLimitIsRefusedWithTheLimit) {
  Config config = TestServer::DefaultConfig();
  config.limits.message_bytes = 100'000;
  TestServer server(config);
  const grpc::Status status = Encode(server, TextRequest(std::string(150'000, 'a')));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(ReasonIn(status.error_details()), "OVER_LIMIT");
  EXPECT_THAT(status.error_message(), HasSubstr("100000"));
  // Far over it, gRPC refuses by itself.
  EXPECT_EQ(Encode(server, TextRequest(std::string(300'000, 'a'))).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(Encode(server, TextRequest("a")).ok());
}

TEST(LimitTest, ACompressedRequestIsRefused) {
  TestServer server;
  grpc::ClientContext context;
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  v1::EncodeResponse response;
  EXPECT_EQ(server.encoder()
                .Encode(&context, TextRequest(std::string(10'000, 'a')), &response)
                .error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
}

TEST(QueueTest, AFullQueueAsksToComeBackLater) {
  Config config = TestServer::DefaultConfig();
  config.limits.queue_requests = 1;
  TestServer server(config);
  server.model().Hold();
  PendingEncode running(server, TextRequest("a"));
  server.model().AwaitHeld();
  PendingEncode waiting(server, TextRequest("b"));
  ASSERT_TRUE(Eventually([&] { return server.server().queue_depth().jobs == 1; }));
  grpc::ClientContext context;
  v1::EncodeResponse response;
  const grpc::Status status = server.encoder().Encode(&context, TextRequest("c"), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonIn(status.error_details()), "QUEUE_FULL");
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto pushback = trailers.find("grpc-retry-pushback-ms");
  ASSERT_NE(pushback, trailers.end());
  const int milliseconds = std::stoi(std::string(pushback->second.data(), pushback->second.size()));
  EXPECT_GE(milliseconds, 100);
  EXPECT_LE(milliseconds, 1000);
  server.model().Release();
  EXPECT_TRUE(running.Await().ok());
  EXPECT_TRUE(waiting.Await().ok());
}

TEST(QueueTest, MemoryThatRequestsHoldIsBound) {
  Config config = TestServer::DefaultConfig();
  config.limits.held_bytes = 1;
  TestServer server(config);
  server.model().Hold();
  PendingEncode running(server, TextRequest("a"));
  server.model().AwaitHeld();
  const grpc::Status status = Encode(server, TextRequest("b"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonIn(status.error_details()), "QUEUE_FULL");
  EXPECT_THAT(status.error_message(), HasSubstr("held-bytes"));

  // A stream waits instead.
  grpc::ClientContext context;
  auto stream = server.encoder().EncodeStream(&context);
  v1::EncodeStreamRequest message;
  message.set_id("1");
  *message.mutable_request() = IdsRequest(1);
  ASSERT_TRUE(stream->Write(message));
  stream->WritesDone();
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(Encode(server, TextRequest("b")).ok());
  EXPECT_EQ(server.server().requests_in_flight(), 1);
  server.model().Release();
  EXPECT_TRUE(running.Await().ok());
  v1::EncodeStreamResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_TRUE(response.has_response());
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
  ASSERT_TRUE(Eventually([&] { return Encode(server, TextRequest("c")).ok(); }));
}

TEST(QueueTest, ACancelledRequestIsNeverComputed) {
  TestServer server;
  server.model().Hold();
  PendingEncode running(server, TextRequest("a"));
  server.model().AwaitHeld();
  PendingEncode waiting(server, TextRequest("b"));
  ASSERT_TRUE(Eventually([&] { return server.server().queue_depth().jobs == 1; }));
  waiting.context().TryCancel();
  EXPECT_EQ(waiting.Await().error_code(), grpc::StatusCode::CANCELLED);
  ASSERT_TRUE(Eventually([&] { return server.server().requests_in_flight() == 1; }));
  server.model().Release();
  EXPECT_TRUE(running.Await().ok());
  EXPECT_EQ(server.model().computed(), 1);
}

TEST(QueueTest, ARequestWhoseDeadlinePassesInTheQueueIsNeverComputed) {
  Config config = TestServer::DefaultConfig();
  config.limits.default_deadline = std::chrono::milliseconds(1);
  config.limits.deadline_cap = std::chrono::minutes(10);
  TestServer server(config);
  server.model().Hold();
  PendingEncode running(server, TextRequest("a"), std::chrono::seconds(300));
  server.model().AwaitHeld();

  // No deadline of its own: the server's holds, and the server says that it has passed.
  grpc::ClientContext context;
  v1::EncodeRequest request = TextRequest("b");
  v1::EncodeResponse response;
  grpc::Status status;
  absl::Notification done;
  server.encoder().async()->Encode(&context, &request, &response, [&](grpc::Status result) {
    status = std::move(result);
    done.Notify();
  });
  ASSERT_TRUE(Eventually(
      [&] { return done.HasBeenNotified() || server.server().queue_depth().jobs == 1; }));
  const auto expired = Clock::now() + std::chrono::milliseconds(2);
  ASSERT_TRUE(Eventually([&] { return Clock::now() > expired; }));
  server.model().Release();
  done.WaitForNotification();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(ReasonIn(status.error_details()), "DEADLINE_EXCEEDED");
  EXPECT_TRUE(running.Await().ok());
  EXPECT_EQ(server.model().computed(), 1);
}

TEST(InternalTest, AFailureOfOursTellsTheCallerNothingOfIt) {
  TestServer server;
  server.model().FailWith(absl::InternalError("secret"));
  const grpc::Status status = Encode(server, TextRequest("a"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(ReasonIn(status.error_details()), "INTERNAL");
  EXPECT_THAT(status.error_message(), Not(HasSubstr("secret")));
}

TEST(AttentionTest, AttendComputesTheCallersTensors) {
  TestServer server;
  v1::AttendRequest request;
  const std::vector<int64_t> shape = {1, 1, 2, 1};
  WriteFloats(std::vector<float>{0, 0}, shape, *request.mutable_query());
  WriteFloats(std::vector<float>{1, 2}, shape, *request.mutable_key());
  WriteFloats(std::vector<float>{10, 30}, shape, *request.mutable_value());
  request.set_return_weights(true);
  grpc::ClientContext context;
  v1::AttendResponse response;
  ASSERT_TRUE(server.attention().Attend(&context, request, &response).ok());
  EXPECT_THAT(FloatsOf(response.output()), ElementsAre(20, 20));
  EXPECT_THAT(response.weights().shape(), ElementsAre(1, 1, 2, 2));
  EXPECT_THAT(FloatsOf(response.weights()), ::testing::Each(0.5f));

  request.mutable_key()->set_shape(2, 3);
  grpc::ClientContext refused;
  const grpc::Status status = server.attention().Attend(&refused, request, &response);
  EXPECT_EQ(ReasonIn(status.error_details()), "INVALID_SHAPE");
}

TEST(AttentionTest, SelfAttentionComputesTheWholeRecipe) {
  TestServer server;
  v1::SelfAttentionRequest request;
  WriteFloats(std::vector<float>{1, 3}, std::vector<int64_t>{2, 1}, *request.mutable_input());
  const std::vector<int64_t> one = {1, 1};
  WriteFloats(std::vector<float>{0}, one, *request.mutable_w_q());
  for (v1::Tensor* matrix : {request.mutable_w_k(), request.mutable_w_v(), request.mutable_w_o()}) {
    WriteFloats(std::vector<float>{2}, one, *matrix);
  }
  request.set_return_scores(true);
  grpc::ClientContext context;
  v1::SelfAttentionResponse response;
  ASSERT_TRUE(server.attention().SelfAttention(&context, request, &response).ok());
  EXPECT_THAT(FloatsOf(response.output()), ElementsAre(8, 8));  // 2 * mean(2 * 1, 2 * 3)
  EXPECT_THAT(FloatsOf(response.scores()), ::testing::Each(0.0f));
}

TEST(ModelTest, TheServedModelIsDescribed) {
  TestServer server;
  grpc::ClientContext context;
  v1::ListModelsResponse list;
  ASSERT_TRUE(server.models().ListModels(&context, {}, &list).ok());
  ASSERT_EQ(list.models_size(), 1);
  EXPECT_EQ(list.models(0).name(), "stub");
  EXPECT_EQ(list.models(0).max_length_limit(), 64);
  EXPECT_EQ(list.models(0).pooling(), v1::POOLING_MEAN);

  v1::GetModelRequest request;
  request.set_model("other");
  v1::GetModelResponse response;
  grpc::ClientContext other;
  const grpc::Status status = server.models().GetModel(&other, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(ReasonIn(status.error_details()), "UNKNOWN_MODEL");
}

TEST(ModelTest, EveryLimitIsTold) {
  const Limits limits{.inputs_per_request = 3,
                      .text_bytes = 1001,
                      .request_text_bytes = 1002,
                      .message_bytes = 1 << 21,
                      .stream_requests = 4,
                      .batch_tokens = 1003,
                      .queue_tokens = 1004,
                      .queue_requests = 5,
                      .queue_bytes = 1 << 22,
                      .queue_wait = std::chrono::milliseconds(2500),
                      .held_bytes = 1 << 23,
                      .attention_scores = 1005,
                      .attention_flops = int64_t{1} << 40,
                      .layers_per_request = 6,
                      .attention_map_scores = 1006,
                      .spans_per_input = 7,
                      .documents_per_request = 8,
                      .candidates_per_mask = 9,
                      .answers_per_question = 10,
                      .default_deadline = std::chrono::milliseconds(1500),
                      .deadline_cap = std::chrono::seconds(2)};
  v1::Limits expected;
  expected.set_inputs_per_request(3);
  expected.set_text_bytes(1001);
  expected.set_request_text_bytes(1002);
  expected.set_message_bytes(1 << 21);
  expected.set_stream_requests(4);
  expected.set_batch_tokens(1003);
  expected.set_queue_tokens(1004);
  expected.set_queue_requests(5);
  expected.set_queue_bytes(1 << 22);
  expected.set_held_bytes(1 << 23);
  expected.set_attention_scores(1005);
  expected.set_attention_flops(int64_t{1} << 40);
  expected.set_layers_per_request(6);
  expected.set_attention_map_scores(1006);
  expected.set_spans_per_input(7);
  expected.set_documents_per_request(8);
  expected.set_candidates_per_mask(9);
  expected.set_answers_per_question(10);
  expected.set_default_deadline_seconds(1.5);
  expected.set_queue_wait_seconds(2.5);
  expected.set_deadline_cap_seconds(2);

  Config config = TestServer::DefaultConfig();
  config.limits = limits;
  TestServer server(config);
  grpc::ClientContext context;
  v1::GetModelResponse response;
  ASSERT_TRUE(server.models().GetModel(&context, {}, &response).ok());
  EXPECT_EQ(response.model().limits().ShortDebugString(), expected.ShortDebugString());
  std::vector<const google::protobuf::FieldDescriptor*> told;
  expected.GetReflection()->ListFields(expected, &told);
  EXPECT_EQ(static_cast<int>(told.size()), v1::Limits::descriptor()->field_count());
}

}  // namespace
}  // namespace attnd
