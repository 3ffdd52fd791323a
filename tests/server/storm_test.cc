// Goal: thousands of calls that go away at any point, and shutdowns with hundreds in flight, lose
// nothing and leave nothing behind. Method: a real server with a stub model; calls are cancelled at
// random, whatever they are doing at that moment.
#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/server/test_server.h"

namespace attnd::testing {
namespace {

constexpr int kStormCalls = 5'000;
constexpr int kInFlight = 64;
constexpr int kIds = 8;

// A call whose vector is compared with that of the same request alone.
class StormCall {
 public:
  StormCall(TestServer& server, int32_t id) : id_(id), request_(IdsRequest(id, 3)) {
    server.encoder().async()->Encode(&context_, &request_, &response_, [this](grpc::Status result) {
      status_ = std::move(result);
      done_.Notify();
    });
  }
  void Cancel() {
    cancelled_ = true;
    context_.TryCancel();
  }
  int32_t id() const { return id_; }
  bool cancelled() const { return cancelled_; }
  const grpc::Status& Await() {
    done_.WaitForNotification();
    return status_;
  }
  const std::string& vector() const { return response_.encodings(0).pooled().data(); }

 private:
  const int32_t id_;
  bool cancelled_ = false;
  grpc::ClientContext context_;
  const v1::EncodeRequest request_;
  v1::EncodeResponse response_;
  grpc::Status status_;
  absl::Notification done_;
};

TEST(StormTest, CallsThatGoAwayLeaveTheOthersAloneAndNothingBehind) {
  Config config = TestServer::DefaultConfig();
  config.share_identical = true;  // So that calls depend on others that go away.
  TestServer server(config);
  std::array<std::string, kIds> expected;
  for (int32_t id = 0; id < kIds; ++id) {
    v1::EncodeResponse response;
    ASSERT_TRUE(Encode(server, IdsRequest(id, 3), &response).ok());
    expected[static_cast<size_t>(id)] = response.encodings(0).pooled().data();
  }
  std::minstd_rand random(1);
  std::deque<std::unique_ptr<StormCall>> calls;
  int answered = 0, gone = 0;
  const auto finish = [&] {
    StormCall& call = *calls.front();
    const grpc::Status& status = call.Await();
    if (status.ok()) {
      ++answered;
      EXPECT_EQ(call.vector(), expected[static_cast<size_t>(call.id())]);
    } else {
      ++gone;
      EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED) << status.error_message();
      EXPECT_TRUE(call.cancelled()) << "one that nobody cancelled";
    }
    calls.pop_front();
  };
  for (int i = 0; i < kStormCalls; ++i) {
    calls.push_back(std::make_unique<StormCall>(server, static_cast<int32_t>(random() % kIds)));
    // Before it is sent, on its way, in the queue, in a batch, at its end: whatever it is doing.
    if (random() % 2 == 0) calls[random() % calls.size()]->Cancel();
    if (calls.size() >= kInFlight) finish();
  }
  while (!calls.empty()) finish();
  EXPECT_EQ(answered + gone, kStormCalls);
  EXPECT_GT(answered, kStormCalls / 10);
  EXPECT_GT(gone, kStormCalls / 10);
  EXPECT_TRUE(Eventually([&] { return server.server().requests_in_flight() == 0; }));
  EXPECT_EQ(server.server().queue_depth().jobs, 0);
  EXPECT_EQ(server.server().queue_depth().bytes, 0);
}

TEST(StormTest, AShutdownWithHundredsInFlightLosesNothing) {
  constexpr int kRepeats = 20, kCalls = 200;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    Config config = TestServer::DefaultConfig();
    config.connection.streams = kCalls;
    TestServer server(config);
    server.model().Hold();
    std::vector<std::unique_ptr<PendingEncode>> calls;
    for (int i = 0; i < kCalls; ++i) {
      calls.push_back(std::make_unique<PendingEncode>(server, IdsRequest(1 + i % kIds)));
    }
    ASSERT_TRUE(Eventually([&] { return server.server().requests_in_flight() == kCalls; }));
    int64_t lost = -1;
    server.server().SetNotServing();
    std::thread drain(
        [&] { lost = server.server().Drain(Clock::now() + std::chrono::minutes(5)); });
    server.model().Release();
    for (const auto& call : calls) EXPECT_TRUE(call->Await().ok()) << call->Await().error_message();
    drain.join();
    EXPECT_EQ(lost, 0);
    EXPECT_EQ(server.model().computed(), kCalls);
  }
}

}  // namespace
}  // namespace attnd::testing
