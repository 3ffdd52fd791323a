// Goal: no caller has more requests in flight than its key file allows, others are not touched by
// that, and nothing that a server says holds a key. Method: a gate before the stub keeps requests
// in flight; for the keys, all that is logged, answered and counted while everything goes wrong.

#include <future>
#include <optional>
#include <string>
#include <vector>

#include "client/client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/key_support.h"
#include "tests/server/scrape.h"

namespace attnd {
namespace {

using testing::Callers;
using testing::CallRaw;
using testing::Eventually;
using ::testing::HasSubstr;
using testing::KeyedServer;
using ::testing::Not;
using testing::ReasonIn;
using testing::Scrape;
using testing::StubModel;

auto EncodeLater(const Client& client, const std::string& text) {
  return std::async(std::launch::async, [&client, text] { return client.Encode({text}); });
}

TEST(CallerLimitsTest, WhatIsOverACallersLimitIsRefusedAndOthersAreServed) {
  KeyedServer server(Callers{{.name = "small", .keys = {"s1", "s2"}, .requests_max = 2},
                             {.name = "large", .keys = {"l"}}});
  const Client small = server.ClientWith("s1"), large = server.ClientWith("l");
  server->model().Hold();
  auto running = EncodeLater(small, "a");
  server->model().AwaitHeld();
  auto waiting = EncodeLater(small, "b");
  ASSERT_TRUE(Eventually([&] { return server->server().queue_depth().jobs == 1; }));

  // With its other key too.
  const auto reply = CallRaw(*server, "/attnd.v1.EncoderService/Encode", "", {"Bearer s2"});
  EXPECT_EQ(reply.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonIn(reply.status.error_details()), "CALLER_LIMIT");
  EXPECT_EQ(reply.status.error_message(),
            "2 requests of \"small\" are in flight, as many as may be (requests_in_flight_max)");
  EXPECT_TRUE(reply.has_pushback);
  EXPECT_THAT(reply.status.error_details(), HasSubstr("google.rpc.RetryInfo"));
  EXPECT_EQ(client::ErrorReason(small.ListModels().status()), "CALLER_LIMIT");
  EXPECT_TRUE(large.ListModels().ok());
  auto other = EncodeLater(large, "c");
  ASSERT_TRUE(Eventually([&] { return server->server().queue_depth().jobs == 2; }));
  server->model().Release();
  EXPECT_TRUE(running.get().ok());
  EXPECT_TRUE(waiting.get().ok());
  EXPECT_TRUE(other.get().ok());

  const auto series = Scrape(server.metrics_port());
  EXPECT_EQ(series.at("attnd_caller_requests_total{caller=\"small\"}"), 2);
  EXPECT_EQ(series.at("attnd_caller_rejected_total{caller=\"small\"}"), 2);
  EXPECT_EQ(series.at("attnd_caller_requests_total{caller=\"large\"}"), 2);
  EXPECT_EQ(series.at("attnd_caller_rejected_total{caller=\"large\"}"), 0);
  EXPECT_EQ(series.at("attnd_rejected_total{model=\"\",reason=\"CALLER_LIMIT\"}"), 2);
}

TEST(CallerLimitsTest, APlaceIsFreeBeforeTheAnswerIsThere) {
  KeyedServer server(Callers{{.name = "one", .keys = {"k"}, .requests_max = 1}});
  const Client client = server.ClientWith("k");
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(client.Encode({"a"}).ok());
    ASSERT_TRUE(absl::IsNotFound(client.Encode({"a"}, {.model = "none"}).status()));
  }
}

TEST(CallerLimitsTest, RequestsOfAStreamWaitForAPlace) {
  KeyedServer server(Callers{{.name = "one", .keys = {"k"}, .requests_max = 1}});
  const Client client = server.ClientWith("k");
  server->model().Hold();
  const auto stream = client.OpenEncodeStream();
  constexpr int kRequests = 20;
  for (int i = 0; i < kRequests; ++i) {
    ASSERT_TRUE(stream->Send(std::to_string(i), {"a"}).ok());
  }
  stream->CloseSend();
  server->model().AwaitHeld();
  EXPECT_EQ(client::ErrorReason(client.ListModels().status()), "CALLER_LIMIT");
  EXPECT_EQ(server->server().queue_depth().jobs, 0);
  server->model().Release();
  client::StreamReply reply;
  int answered = 0;
  while (stream->Receive(reply)) {
    EXPECT_TRUE(reply.result.ok()) << reply.result.status();
    ++answered;
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(answered, kRequests);
  EXPECT_TRUE(client.ListModels().ok());
  EXPECT_EQ(Scrape(server.metrics_port()).at("attnd_caller_requests_total{caller=\"one\"}"),
            kRequests + 1);
}

TEST(CallerLimitsTest, AStreamThatIsGivenUpGivesItsPlacesBack) {
  KeyedServer server(Callers{{.name = "one", .keys = {"k"}, .requests_max = 1}});
  const Client client = server.ClientWith("k");
  server->model().Hold();
  {
    const auto stream = client.OpenEncodeStream();
    ASSERT_TRUE(stream->Send("1", {"a"}).ok());
    ASSERT_TRUE(stream->Send("2", {"b"}).ok());
    server->model().AwaitHeld();
  }
  ASSERT_TRUE(Eventually([&] { return server->model().held_is_cancelled(); }));
  server->model().Release();
  ASSERT_TRUE(Eventually([&] { return client.ListModels().ok(); }));
}

// Everything that a server says while everything goes wrong that may go wrong with a key.
class SecretsTest : public ::testing::Test {
 protected:
  const std::string canary_ = "canary-5b0f1e";
  const std::string good_ = canary_ + "-good";

  void Call(const std::string& method, const std::string& bytes) {
    const std::vector<std::vector<std::string>> headers = {
        {},
        {canary_},
        {"Basic " + canary_},
        {"Bearer " + canary_},
        {"Bearer " + canary_ + " " + canary_},
        {"Bearer " + canary_ + std::string(600, 'k')},
        {"Bearer " + good_, "Bearer " + good_},
        {"Bearer " + good_}};
    for (const auto& values : headers) {
      const auto reply = CallRaw(**server_, method, bytes, values);
      said_ += reply.status.error_message() + reply.status.error_details() + reply.bytes;
    }
  }

  void CallInEveryWrongWay() {
    for (const char* method : {"Encode", "EncodeStream", "Similarity", "NoSuchMethod"}) {
      Call(std::string("/attnd.v1.EncoderService/") + method, "\x07\xff");
      Call(std::string("/attnd.v1.EncoderService/") + method, "");
    }
    Call("/attnd.v1.ModelService/ListModels", "");
    Call("/no.such.Service/Method", "");
    const Client client = server_->ClientWith(good_);
    StubModel& model = (*server_)->model();
    said_ += client.Encode({"a"}, {.model = "none"}).status().ToString();
    model.FailWith(absl::InternalError("the reason"));
    said_ += client.Encode({"a"}).status().ToString();
    model.FailWith(absl::OkStatus());
    model.Hold();
    auto running = EncodeLater(client, "a");
    model.AwaitHeld();
    said_ += client.Encode({"a"}).status().ToString();  // Over its limit.
    model.Release();
    running.wait();
  }

  void ChangeTheFileInEveryWrongWay() {
    const auto reloads = [&](const std::string& result) {
      return Scrape(server_->metrics_port())
          .at("attnd_api_key_reloads_total{result=\"" + result + "\"}");
    };
    double failed = 0;
    for (const std::string& text :
         {canary_, "{\"" + canary_ + "\": 1}",
          "{\"callers\": [{\"name\": \"a\", \"key_sha256\": [\"" + canary_ + "\"]}]}"}) {
      server_->WriteKeys(text);
      ++failed;
      ASSERT_TRUE(Eventually([&] { return reloads("failed") == failed; }));
    }
    server_->WriteKeys(Callers{{.name = "late", .keys = {canary_}}});
    ASSERT_TRUE(Eventually([&] { return reloads("ok") == 1; }));
    Call("/attnd.v1.ModelService/ListModels", "");
  }

  std::optional<KeyedServer> server_;
  std::string said_;
};

TEST_F(SecretsTest, NoKeyIsEverLoggedAnsweredOrCounted) {
  ::testing::internal::CaptureStderr();
  server_.emplace(Callers{{.name = "search", .keys = {good_}, .requests_max = 1}}, "debug");
  CallInEveryWrongWay();
  ChangeTheFileInEveryWrongWay();
  const auto series = Scrape(server_->metrics_port());
  server_.reset();
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, Not(HasSubstr("canary")));
  EXPECT_THAT(said_, Not(HasSubstr("canary")));
  for (const auto& [name, value] : series) EXPECT_THAT(name, Not(HasSubstr("canary")));
  // What is looked through is not empty: each of these is there.
  EXPECT_THAT(log, HasSubstr("a call was denied: its API key is missing"));
  EXPECT_THAT(log, HasSubstr("a call was denied: its API key is malformed"));
  EXPECT_THAT(log, HasSubstr("a call was denied: its API key is unknown"));
  EXPECT_THAT(log, HasSubstr("api keys: those of 1 callers are valid"));
  EXPECT_THAT(log, HasSubstr("api keys: those of before are still valid"));
  EXPECT_THAT(said_, HasSubstr("a valid API key is needed"));
  EXPECT_THAT(said_, HasSubstr("requests_in_flight_max"));
}

}  // namespace
}  // namespace attnd
