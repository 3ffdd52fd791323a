// Goal: health, shutdown, addresses and metrics behave as operators rely on. Method: a server on a
// real port with a gate before its stub; /metrics is read over HTTP and compared with what was
// sent.

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/observe/metrics.h"
#include "tests/server/scrape.h"
#include "tests/server/test_server.h"

namespace attnd {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using testing::Encode;
using testing::Eventually;
using testing::IdsRequest;
using testing::PendingEncode;
using testing::ReasonIn;
using testing::Scrape;
using testing::TestServer;
using testing::TextRequest;

HealthCheckRequest For(const std::string& service) {
  HealthCheckRequest request;
  request.set_service(service);
  return request;
}

HealthCheckResponse::ServingStatus Check(TestServer& server, const std::string& service) {
  grpc::ClientContext context;
  HealthCheckResponse response;
  EXPECT_TRUE(server.health().Check(&context, For(service), &response).ok());
  return response.status();
}

TEST(HealthTest, EveryServiceTurnsNotServingWhileCallsGoOn) {
  TestServer server;
  const std::vector<std::string> services = {"", "attnd.v1.EncoderService",
                                             "attnd.v1.AttentionService", "attnd.v1.ModelService"};
  for (const auto& name : services) EXPECT_EQ(Check(server, name), HealthCheckResponse::SERVING);
  server.server().SetNotServing();
  for (const auto& name : services) {
    EXPECT_EQ(Check(server, name), HealthCheckResponse::NOT_SERVING);
  }
  EXPECT_TRUE(Encode(server, TextRequest("a")).ok());
}

TEST(HealthTest, AnUnknownServiceIsNotFound) {
  TestServer server;
  grpc::ClientContext context;
  HealthCheckResponse response;
  EXPECT_EQ(server.health().Check(&context, For("other"), &response).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST(HealthTest, AWatchSaysEachChangeAndEndsWithTheDrain) {
  TestServer server;
  grpc::ClientContext context, unknown_context;
  auto watch = server.health().Watch(&context, For(""));
  auto unknown = server.health().Watch(&unknown_context, For("other"));
  HealthCheckResponse response;
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  ASSERT_TRUE(unknown->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVICE_UNKNOWN);

  server.server().SetNotServing();
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);

  EXPECT_EQ(server.server().Drain(Clock::now() + std::chrono::minutes(5)), 0);
  EXPECT_FALSE(watch->Read(&response));
  EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_FALSE(unknown->Read(&response));
  EXPECT_EQ(unknown->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST(DrainTest, WhatWasAcceptedIsAnswered) {
  TestServer server;
  server.model().Hold();
  PendingEncode running(server, TextRequest("a"));
  server.model().AwaitHeld();
  PendingEncode waiting(server, TextRequest("b"));
  ASSERT_TRUE(Eventually([&] { return server.server().queue_depth().jobs == 1; }));

  grpc::ClientContext context;
  auto stream = server.encoder().EncodeStream(&context);
  v1::EncodeStreamRequest message;
  message.set_id("1");
  *message.mutable_request() = IdsRequest(1);
  ASSERT_TRUE(stream->Write(message));
  ASSERT_TRUE(Eventually([&] { return server.server().queue_depth().jobs == 2; }));

  int64_t lost = -1;
  std::thread drain([&] { lost = server.server().Drain(Clock::now() + std::chrono::minutes(5)); });
  server.model().Release();
  EXPECT_TRUE(running.Await().ok());
  EXPECT_TRUE(waiting.Await().ok());
  v1::EncodeStreamResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_TRUE(response.has_response());
  EXPECT_FALSE(stream->Read(&response));
  const grpc::Status ended = stream->Finish();
  EXPECT_EQ(ended.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ReasonIn(ended.error_details()), "SHUTTING_DOWN");
  drain.join();
  EXPECT_EQ(lost, 0);
  EXPECT_EQ(server.model().computed(), 3);
}

TEST(DrainTest, AtItsLimitTheRestIsCancelledAndCounted) {
  TestServer server;
  server.model().Hold();
  PendingEncode running(server, TextRequest("a"));
  server.model().AwaitHeld();
  PendingEncode waiting(server, TextRequest("b"));
  ASSERT_TRUE(Eventually([&] { return server.server().queue_depth().jobs == 1; }));
  int64_t lost = -1;
  std::thread drain([&] { lost = server.server().Drain(Clock::now()); });
  EXPECT_EQ(waiting.Await().error_code(), grpc::StatusCode::UNAVAILABLE);
  ASSERT_TRUE(Eventually([&] { return server.server().queue_depth().jobs == 0; }));
  // Before that it would be answered.
  ASSERT_TRUE(Eventually([&] { return server.model().held_is_cancelled(); }));
  server.model().Release();  // What runs ends its step; nobody hears of it.
  drain.join();
  EXPECT_EQ(lost, 2);
  EXPECT_EQ(server.model().computed(), 1);
}

// Why a server with that configuration does not start; empty if it does.
std::string WhyNotStarted(const Config& config) {
  const auto tokenizer = *Tokenizer::Load(testing::TinyTokenizer());
  testing::StubModel model;
  std::vector<ModelEntry> models;
  models.push_back(
      testing::StubEntry(testing::StubServedModel(tokenizer.get()), model, config.limits));
  const auto server =
      Server::Start(config, std::move(models), MakeLogger(LogFormat::kText, "error"));
  return server.ok() ? "" : std::string(server.status().message());
}

TEST(AddressTest, APortInUseIsAnErrorAndNotShared) {
  TestServer first;
  Config config = TestServer::DefaultConfig();
  config.listen = "127.0.0.1:" + std::to_string(first.server().port());
  EXPECT_THAT(WhyNotStarted(config), ::testing::HasSubstr(config.listen));
}

TEST(AddressTest, AUnixSocketThatIsServedIsNotTakenAway) {
  Config config = TestServer::DefaultConfig();
  const std::string path = ::testing::TempDir() + "attnd-" + std::to_string(getpid()) + ".sock";
  config.listen = "unix:" + path;
  TestServer first(config);
  EXPECT_THAT(WhyNotStarted(config), ::testing::HasSubstr(path));
}

TEST(ReflectionTest, ItIsThereOnlyWhenAskedFor) {
  const char* method = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
  TestServer without;
  EXPECT_EQ(testing::SendRaw(without, method, "").error_code(), grpc::StatusCode::UNIMPLEMENTED);
  Config config = TestServer::DefaultConfig();
  config.reflection = true;
  TestServer with(config);
  EXPECT_NE(testing::SendRaw(with, method, "").error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

TEST(MetricsTest, EverySeriesIsThereAtZeroFromTheFirstScrape) {
  Config config = TestServer::DefaultConfig();
  config.metrics_listen = "127.0.0.1:0";
  TestServer server(config);
  const auto series = Scrape(server.server().metrics_port());
  int requests = 0, rejected = 0;
  for (const auto& [name, value] : series) {
    if (name.rfind("attnd_", 0) != 0 || name.rfind("attnd_model_info", 0) == 0) continue;
    EXPECT_EQ(value, 0) << name;
    if (name.rfind("attnd_requests_total", 0) == 0) ++requests;
    if (name.rfind("attnd_rejected_total", 0) == 0) ++rejected;
  }
  // Of the model, and of what concerns none.
  EXPECT_EQ(requests, 2 * static_cast<int>(kMethods) * 17);
  EXPECT_EQ(rejected, 2 * (v1::ErrorReason_ARRAYSIZE - 1));
  EXPECT_GT(series.at("process_resident_memory_bytes"), 0);
  EXPECT_GT(series.at("process_start_time_seconds"), 1.6e9);
  EXPECT_LE(series.size(), 2000u);
}

TEST(MetricsTest, TheyEqualWhatWasSent) {
  Config config = TestServer::DefaultConfig();
  config.metrics_listen = "127.0.0.1:0";
  TestServer server(config);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(Encode(server, TextRequest("a b")).ok());  // 4 tokens.
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(Encode(server, IdsRequest(-1)).ok());
  EXPECT_FALSE(testing::SendRaw(server, "/attnd.v1.EncoderService/Encode", "\xff").ok());
  {
    grpc::ClientContext context;
    auto stream = server.encoder().EncodeStream(&context);
    for (int i = 0; i < 4; ++i) {
      v1::EncodeStreamRequest message;
      message.set_id(std::to_string(i));
      *message.mutable_request() = i == 3 ? v1::EncodeRequest() : IdsRequest(1, 2);
      stream->Write(message);
    }
    stream->WritesDone();
    v1::EncodeStreamResponse response;
    while (stream->Read(&response)) {
    }
    EXPECT_TRUE(stream->Finish().ok());
  }
  const auto series = Scrape(server.server().metrics_port());
  const auto requests = [&](const std::string& code, const std::string& method) {
    return series.at("attnd_requests_total{code=\"" + code + "\",method=\"" + method +
                     "\",model=\"stub\"}");
  };
  EXPECT_EQ(requests("OK", "Encode"), 5);
  EXPECT_EQ(requests("INVALID_ARGUMENT", "Encode"), 3);
  // What cannot be read names no model.
  EXPECT_EQ(
      series.at("attnd_requests_total{code=\"INVALID_ARGUMENT\",method=\"Encode\",model=\"\"}"), 1);
  EXPECT_EQ(requests("OK", "EncodeStream"), 3);
  EXPECT_EQ(requests("INVALID_ARGUMENT", "EncodeStream"), 1);
  EXPECT_EQ(series.at("attnd_rejected_total{model=\"stub\",reason=\"ID_OUT_OF_RANGE\"}"), 3);
  EXPECT_EQ(series.at("attnd_rejected_total{model=\"\",reason=\"MALFORMED_REQUEST\"}"), 1);
  EXPECT_EQ(series.at("attnd_rejected_total{model=\"stub\",reason=\"MISSING_FIELD\"}"), 1);
  EXPECT_EQ(series.at("attnd_request_duration_seconds_count{method=\"Encode\",model=\"stub\"}"), 8);
  EXPECT_EQ(series.at("attnd_streams_total{code=\"OK\"}"), 1);
  EXPECT_EQ(series.at("attnd_tokenize_duration_seconds_count{model=\"stub\"}"), 8);
  EXPECT_EQ(series.at("attnd_queue_duration_seconds_count{model=\"stub\"}"), 8);
  EXPECT_EQ(series.at("attnd_compute_duration_seconds_count{model=\"stub\"}"), 8);
  EXPECT_EQ(series.at("attnd_batch_tokens_sum{model=\"stub\"}"), 5 * 4 + 3 * 2);
  EXPECT_EQ(series.at("attnd_batch_sequences_sum{model=\"stub\"}"), 8);
  EXPECT_EQ(series.at("attnd_requests_in_flight"), 0);
  EXPECT_EQ(series.at("attnd_queue_requests{model=\"stub\"}"), 0);
}

TEST(MetricsTest, ADeadlineThatPassesIsNotCountedAsCancelled) {
  Config config = TestServer::DefaultConfig();
  config.metrics_listen = "127.0.0.1:0";
  TestServer server(config);
  server.model().Hold();
  PendingEncode running(server, TextRequest("a"));
  server.model().AwaitHeld();
  PendingEncode waiting(server, TextRequest("b"), std::chrono::milliseconds(500));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(500));
  auto stream = server.encoder().EncodeStream(&context);
  v1::EncodeStreamRequest message;
  message.set_id("1");
  *message.mutable_request() = IdsRequest(1);
  EXPECT_TRUE(stream->Write(message));
  EXPECT_EQ(waiting.Await().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  ASSERT_TRUE(Eventually([&] { return server.server().requests_in_flight() == 1; }));
  std::map<std::string, double> series;
  ASSERT_TRUE(Eventually([&] {
    series = Scrape(server.server().metrics_port());
    return series.at("attnd_streams_open") == 0;
  }));
  for (const std::string method : {"Encode", "EncodeStream"}) {
    const std::string end = "\",method=\"" + method + "\",model=\"stub\"}";
    EXPECT_EQ(series.at("attnd_requests_total{code=\"DEADLINE_EXCEEDED" + end), 1) << method;
    EXPECT_EQ(series.at("attnd_requests_total{code=\"CANCELLED" + end), 0) << method;
  }
  EXPECT_EQ(series.at("attnd_streams_total{code=\"DEADLINE_EXCEEDED\"}"), 1);
  EXPECT_EQ(series.at("attnd_rejected_total{model=\"stub\",reason=\"DEADLINE_EXCEEDED\"}"), 2);
  server.model().Release();
  EXPECT_TRUE(running.Await().ok());
}

TEST(MetricsTest, ABatchThatFailsIsCountedAndLoggedWithItsReason) {
  Config config = TestServer::DefaultConfig();
  config.metrics_listen = "127.0.0.1:0";
  TestServer server(config);
  server.model().FailWith(absl::InternalError("the reason"));
  ::testing::internal::CaptureStderr();
  EXPECT_FALSE(Encode(server, TextRequest("a")).ok());
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              ::testing::HasSubstr("a batch failed: the reason"));
  EXPECT_EQ(Scrape(server.server().metrics_port()).at("attnd_batches_failed_total{model=\"stub\"}"),
            1);
}

}  // namespace
}  // namespace attnd
