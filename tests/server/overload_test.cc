// Goal: over the wire, a request that would wait too long is refused at once and told when to come
// back, urgent ones go first, and a stream waits where a call is refused. Method: a real server
// with a stub whose gate makes a queue, and whose first batch takes as long as the test says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "tests/server/test_server.h"

namespace attnd::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Long beside what a bound of 1 ms allows, even for one token; 32 tokens take 3.2 s then.
constexpr milliseconds kBatchTime(100);

Config WaitOf(milliseconds wait) {
  Config config = TestServer::DefaultConfig();
  config.limits.queue_wait = wait;
  return config;
}

// Has the server compute a batch of one token that takes kBatchTime at least.
void TeachCost(TestServer& server) {
  server.model().Hold();
  PendingEncode slow(server, IdsRequest(1));
  server.model().AwaitHeld();
  const auto end = Clock::now() + kBatchTime;
  ASSERT_TRUE(Eventually([&] { return Clock::now() > end; }));
  server.model().Release();
  ASSERT_TRUE(slow.Await().ok());
}

bool AwaitQueued(TestServer& server, int64_t jobs) {
  return Eventually([&] { return server.server().queue_depth().jobs == jobs; });
}

// A server that knows what a token costs, with a batch at the gate and a request behind it.
class Backlog {
 public:
  explicit Backlog(TestServer& server) : server_(server) {
    TeachCost(server);
    server.model().Hold();
    running_.emplace(server, IdsRequest(1));
    server.model().AwaitHeld();
    waiting_.emplace(server, IdsRequest(2));
    EXPECT_TRUE(AwaitQueued(server, 1));
  }
  // Lets both be computed.
  void Finish() {
    server_.model().Release();
    EXPECT_TRUE(running_->Await().ok());
    EXPECT_TRUE(waiting_->Await().ok());
  }

 private:
  TestServer& server_;
  std::optional<PendingEncode> running_, waiting_;
};

v1::EncodeRequest WithPriority(int32_t id, v1::Priority priority) {
  v1::EncodeRequest request = IdsRequest(id);
  request.set_priority(priority);
  return request;
}

TEST(OverloadTest, WhatWouldWaitTooLongIsRefusedAtOnce) {
  TestServer server(WaitOf(milliseconds(1)));
  Backlog backlog(server);

  grpc::ClientContext context;
  v1::EncodeResponse response;
  const grpc::Status status = server.encoder().Encode(&context, IdsRequest(3), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonIn(status.error_details()), "WAIT_TOO_LONG");
  EXPECT_THAT(status.error_message(), HasSubstr("the limit is 1 ms (queue wait_max)"));
  EXPECT_EQ(context.GetServerTrailingMetadata().count("grpc-retry-pushback-ms"), 1u);

  backlog.Finish();
  EXPECT_TRUE(Encode(server, IdsRequest(3)).ok());
}

TEST(OverloadTest, WhatCannotBeInTimeIsRefusedAtOnce) {
  TestServer server;
  Backlog backlog(server);
  PendingEncode late(server, IdsRequest(3, 32), milliseconds(3000));
  const grpc::Status& status = late.Await();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonIn(status.error_details()), "WAIT_TOO_LONG");
  EXPECT_THAT(status.error_message(), HasSubstr("its deadline is in"));
  backlog.Finish();
  EXPECT_EQ(server.model().computed(), 3);
}

TEST(OverloadTest, AStreamIsToldWhatCannotBeInTimeToo) {
  TestServer server;
  Backlog backlog(server);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + milliseconds(3000));
  auto stream = server.encoder().EncodeStream(&context);
  v1::EncodeStreamRequest message;
  message.set_id("a");
  *message.mutable_request() = IdsRequest(3, 32);
  ASSERT_TRUE(stream->Write(message));
  v1::EncodeStreamResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(ReasonIn(response.error().status()), "WAIT_TOO_LONG");
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
  backlog.Finish();
}

TEST(OverloadTest, AStreamWaitsWhereACallIsRefused) {
  TestServer server(WaitOf(milliseconds(1)));
  Backlog backlog(server);

  grpc::ClientContext context;
  auto stream = server.encoder().EncodeStream(&context);
  v1::EncodeStreamRequest message;
  message.set_id("a");
  *message.mutable_request() = IdsRequest(3);
  ASSERT_TRUE(stream->Write(message));
  stream->WritesDone();
  ASSERT_TRUE(Eventually([&] { return server.server().requests_in_flight() == 3; }));
  EXPECT_EQ(server.server().queue_depth().jobs, 1);
  server.model().Release();
  v1::EncodeStreamResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_TRUE(response.has_response()) << response.error().message();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
  backlog.Finish();
}

TEST(OverloadTest, UrgentRequestsGoFirst) {
  Config config = TestServer::DefaultConfig();
  config.limits.batch_tokens = 16;
  TestServer server(config);
  std::vector<int32_t> order;  // Written by the one worker.
  server.model().FillWith([&](EncodeTask& task) { order.push_back(task.ids.front()); });
  server.model().Hold();
  PendingEncode running(server, IdsRequest(1));
  server.model().AwaitHeld();
  const auto request = [](int32_t id, v1::Priority priority) {
    v1::EncodeRequest made = IdsRequest(id, 16);  // A batch each.
    made.set_priority(priority);
    return made;
  };
  PendingEncode low(server, request(2, v1::PRIORITY_LOW));
  ASSERT_TRUE(AwaitQueued(server, 1));
  PendingEncode normal(server, request(3, v1::PRIORITY_UNSPECIFIED));
  ASSERT_TRUE(AwaitQueued(server, 2));
  PendingEncode high(server, request(4, v1::PRIORITY_HIGH));
  ASSERT_TRUE(AwaitQueued(server, 3));
  server.model().Release();
  for (PendingEncode* call : {&running, &low, &normal, &high}) EXPECT_TRUE(call->Await().ok());
  EXPECT_THAT(order, ElementsAre(1, 4, 3, 2));
}

TEST(OverloadTest, AnUnknownPriorityIsRefused) {
  TestServer server;
  const auto unknown = static_cast<v1::Priority>(9);
  const grpc::Status status = Encode(server, WithPriority(1, unknown));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(ReasonIn(status.error_details()), "INVALID_VALUE");
  EXPECT_EQ(FieldIn(status.error_details()), "priority");
  v1::AttendRequest attend;
  attend.set_priority(unknown);
  grpc::ClientContext context;
  v1::AttendResponse response;
  EXPECT_EQ(FieldIn(server.attention().Attend(&context, attend, &response).error_details()),
            "priority");
  grpc::ClientContext stream_context;
  auto stream = server.encoder().EncodeStream(&stream_context);
  v1::EncodeStreamRequest message;
  message.set_id("a");
  *message.mutable_request() = WithPriority(1, unknown);
  ASSERT_TRUE(stream->Write(message));
  stream->WritesDone();
  v1::EncodeStreamResponse reply;
  ASSERT_TRUE(stream->Read(&reply));
  EXPECT_EQ(FieldIn(reply.error().status()), "priority");
  EXPECT_FALSE(stream->Read(&reply));
  EXPECT_TRUE(stream->Finish().ok());
}

}  // namespace
}  // namespace attnd::testing
