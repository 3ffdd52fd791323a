// Goal: EncodeStream answers each request exactly once with its id, lets a bad one fail alone,
// stops reading at its limit instead of refusing, and sends large replies in parts. Method: a
// server on a real port with a gate before its stub; a client that writes and reads on one stream.

#include <map>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/validate/tensor.h"
#include "tests/server/test_server.h"

namespace attnd {
namespace {

using testing::Eventually;
using testing::IdsRequest;
using testing::ReasonIn;
using testing::TestServer;

// One open stream, written and read by the test's own thread.
class Stream {
 public:
  explicit Stream(TestServer& server) : stream_(server.encoder().EncodeStream(&context_)) {}

  void Send(const std::string& id, const v1::EncodeRequest& request) {
    v1::EncodeStreamRequest message;
    message.set_id(id);
    *message.mutable_request() = request;
    EXPECT_TRUE(stream_->Write(message));
  }
  v1::EncodeStreamResponse Receive() {
    v1::EncodeStreamResponse response;
    EXPECT_TRUE(stream_->Read(&response));
    return response;
  }
  // Closes this side, reads what is left, and gives the stream's status.
  grpc::Status Finish(std::vector<v1::EncodeStreamResponse>* rest = nullptr) {
    stream_->WritesDone();
    v1::EncodeStreamResponse response;
    while (stream_->Read(&response)) {
      if (rest != nullptr) rest->push_back(response);
    }
    return stream_->Finish();
  }
  grpc::ClientContext& context() { return context_; }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::EncodeStreamRequest, v1::EncodeStreamResponse>>
      stream_;
};

TEST(StreamTest, EachRequestIsAnsweredOnceWithItsId) {
  TestServer server;
  Stream stream(server);
  for (int i = 0; i < 200; ++i) stream.Send(std::to_string(i), IdsRequest(i % 10));
  std::vector<v1::EncodeStreamResponse> replies;
  EXPECT_TRUE(stream.Finish(&replies).ok());
  std::set<std::string> ids;
  for (const auto& reply : replies) {
    EXPECT_TRUE(reply.last());
    ASSERT_EQ(reply.response().encodings_size(), 1);
    EXPECT_TRUE(ids.insert(reply.id()).second) << reply.id();
    const float first =
        (*ReadFloats(reply.response().encodings(0).pooled(), NonFinite::kAll, ""))[0];
    EXPECT_EQ(first, static_cast<float>(std::stoi(reply.id()) % 10));
  }
  EXPECT_EQ(ids.size(), 200u);
}

TEST(StreamTest, AStreamOfNothingEndsWell) {
  TestServer server;
  Stream stream(server);
  EXPECT_TRUE(stream.Finish().ok());
}

TEST(StreamTest, ABadRequestFailsAlone) {
  TestServer server;
  Stream stream(server);
  stream.Send("bad", IdsRequest(-1));
  const v1::EncodeStreamResponse bad = stream.Receive();
  EXPECT_EQ(bad.id(), "bad");
  EXPECT_TRUE(bad.last());
  EXPECT_EQ(bad.error().code(), static_cast<int>(grpc::StatusCode::INVALID_ARGUMENT));
  EXPECT_EQ(ReasonIn(bad.error().status()), "ID_OUT_OF_RANGE");
  stream.Send("good", IdsRequest(1));
  EXPECT_TRUE(stream.Receive().has_response());
  EXPECT_TRUE(stream.Finish().ok());
}

// A stream of raw bytes, for messages that no client library would send.
class RawStream {
 public:
  explicit RawStream(TestServer& server) : stub_(server.channel()) {
    stream_ = stub_.PrepareCall(&context_, "/attnd.v1.EncoderService/EncodeStream", &queue_);
    stream_->StartCall(this);
    Next();
  }
  ~RawStream() { queue_.Shutdown(); }

  void Send(const std::string& bytes) {
    const grpc::Slice slice(bytes);
    stream_->Write(grpc::ByteBuffer(&slice, 1), this);
    Next();
  }
  v1::EncodeStreamResponse Receive() {
    grpc::ByteBuffer buffer;
    stream_->Read(&buffer, this);
    Next();
    v1::EncodeStreamResponse response;
    grpc::SerializationTraits<v1::EncodeStreamResponse>::Deserialize(&buffer, &response);
    return response;
  }
  grpc::Status Finish() {
    grpc::Status status;
    stream_->Finish(&status, this);
    Next();
    return status;
  }

 private:
  void Next() {
    void* tag = nullptr;
    bool ok = false;
    queue_.Next(&tag, &ok);
  }

  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
};

TEST(StreamTest, AMessageBrokenBehindItsIdFailsAlone) {
  TestServer server;
  RawStream stream(server);
  v1::EncodeStreamRequest message;
  message.set_id("7");
  message.mutable_request()->add_inputs()->set_text("1234");
  std::string bytes = message.SerializeAsString();
  bytes.replace(bytes.find("1234"), 4, "12\xc3(");
  stream.Send(bytes);
  v1::EncodeStreamResponse reply = stream.Receive();
  EXPECT_EQ(reply.id(), "7");
  EXPECT_EQ(ReasonIn(reply.error().status()), "INVALID_UTF8");
  EXPECT_EQ(testing::FieldIn(reply.error().status()), "inputs[0].text");

  message.mutable_request()->mutable_inputs(0)->set_text("fine");
  stream.Send(message.SerializeAsString());
  EXPECT_TRUE(stream.Receive().has_response());
}

TEST(StreamTest, AMessageWithoutAReadableIdEndsTheStream) {
  TestServer server;
  for (const std::string& bytes :
       {std::string("\xff\xff\xff"), std::string(), std::string("\x0a\x02\xc3(", 4)}) {
    RawStream stream(server);
    stream.Send(bytes);
    EXPECT_EQ(stream.Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  }
}

TEST(StreamTest, ALiveIdUsedTwiceIsAnErrorAndAFinishedOneIsFree) {
  TestServer server;
  server.model().Hold();
  Stream stream(server);
  stream.Send("a", IdsRequest(1));
  stream.Send("a", IdsRequest(2));
  const v1::EncodeStreamResponse refused = stream.Receive();
  EXPECT_EQ(refused.id(), "a");
  EXPECT_EQ(ReasonIn(refused.error().status()), "DUPLICATE_ID");
  server.model().Release();
  EXPECT_TRUE(stream.Receive().has_response());
  stream.Send("a", IdsRequest(3));
  EXPECT_TRUE(stream.Receive().has_response());
  EXPECT_TRUE(stream.Finish().ok());
  EXPECT_EQ(server.model().computed(), 2);
}

TEST(StreamTest, AnIdIsNeededAndBound) {
  TestServer server;
  for (const size_t bytes : {0u, 257u}) {
    Stream stream(server);
    stream.Send(std::string(bytes, 'x'), IdsRequest(1));
    const grpc::Status status = stream.Finish();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(testing::FieldIn(status.error_details()), "id");
  }
}

TEST(StreamTest, LargeRepliesComeInPartsBelowTheLimit) {
  Config config = TestServer::DefaultConfig();
  config.limits.message_bytes = 1200;
  TestServer server(config);
  Stream stream(server);
  v1::EncodeRequest request = IdsRequest(5, 32);
  *request.add_inputs() = IdsRequest(6, 1).inputs(0);
  *request.add_inputs() = IdsRequest(7, 30).inputs(0);
  request.mutable_options()->set_return_token_vectors(true);
  request.mutable_options()->set_return_tokens(false);
  stream.Send("large", request);

  std::vector<v1::EncodeStreamResponse> parts;
  EXPECT_TRUE(stream.Finish(&parts).ok());
  ASSERT_GT(parts.size(), 1u);
  std::map<int, std::vector<float>> rows;
  for (size_t i = 0; i < parts.size(); ++i) {
    EXPECT_LE(parts[i].ByteSizeLong(), 1200u);
    EXPECT_EQ(parts[i].last(), i + 1 == parts.size());
    EXPECT_EQ(parts[i].id(), "large");
    for (const v1::Encoding& encoding : parts[i].response().encodings()) {
      std::vector<float>& all = rows[encoding.input_index()];
      EXPECT_EQ(encoding.first_row() * testing::kHidden, static_cast<int>(all.size()));
      EXPECT_EQ(encoding.has_pooled(), encoding.first_row() == 0);
      const auto values = *ReadFloats(encoding.token_vectors(), NonFinite::kAll, "");
      all.insert(all.end(), values.begin(), values.end());
    }
  }
  EXPECT_EQ(rows[0], std::vector<float>(32 * testing::kHidden, 5));
  EXPECT_EQ(rows[1], std::vector<float>(1 * testing::kHidden, 6));
  EXPECT_EQ(rows[2], std::vector<float>(30 * testing::kHidden, 7));
}

// How many requests the server has in flight once it reads no further, with `limit` of 20 allowed.
int64_t InFlightOfTwenty(int32_t limit) {
  Config config = TestServer::DefaultConfig();
  config.limits.stream_requests = limit;
  TestServer server(config);
  server.model().Hold();
  Stream stream(server);
  for (int i = 0; i < 20; ++i) stream.Send(std::to_string(i), IdsRequest(1));
  const int64_t expected = std::min<int64_t>(limit, 20);
  EXPECT_TRUE(Eventually([&] { return server.server().requests_in_flight() == expected; }));
  // Time enough to read more: calls on the same connection are answered meanwhile.
  for (int i = 0; i < 50; ++i) {
    grpc::ClientContext context;
    v1::ListModelsResponse response;
    EXPECT_TRUE(server.models().ListModels(&context, {}, &response).ok());
  }
  const int64_t in_flight = server.server().requests_in_flight();
  server.model().Release();
  std::vector<v1::EncodeStreamResponse> replies;
  EXPECT_TRUE(stream.Finish(&replies).ok());
  EXPECT_EQ(replies.size(), 20u);
  return in_flight;
}

TEST(StreamTest, ReadingStopsAtTheLimitOfRequestsInFlight) {
  EXPECT_EQ(InFlightOfTwenty(4), 4);
  EXPECT_EQ(InFlightOfTwenty(64), 20);  // The control: without the limit all are read.
}

TEST(StreamTest, AQueueThatIsFullMakesAStreamWaitInsteadOfFail) {
  Config config = TestServer::DefaultConfig();
  config.limits.queue_requests = 2;
  TestServer server(config);
  // By its own requests, and by somebody else's.
  for (const bool by_others : {false, true}) {
    server.model().Hold();
    std::vector<std::unique_ptr<testing::PendingEncode>> others;
    if (by_others) {
      others.push_back(std::make_unique<testing::PendingEncode>(server, IdsRequest(1)));
      server.model().AwaitHeld();
      for (int i = 1; i <= 2; ++i) {
        others.push_back(std::make_unique<testing::PendingEncode>(server, IdsRequest(1)));
        ASSERT_TRUE(Eventually([&] { return server.server().queue_depth().jobs == i; }));
      }
    }
    const auto before = static_cast<int64_t>(others.size());
    Stream stream(server);
    for (int i = 0; i < 30; ++i) stream.Send(std::to_string(i), IdsRequest(1));
    ASSERT_TRUE(Eventually([&] { return server.server().requests_in_flight() > before; }));
    server.model().Release();
    std::vector<v1::EncodeStreamResponse> replies;
    EXPECT_TRUE(stream.Finish(&replies).ok());
    EXPECT_EQ(replies.size(), 30u);
    for (const auto& reply : replies) EXPECT_TRUE(reply.has_response()) << reply.error().message();
    for (auto& other : others) EXPECT_TRUE(other->Await().ok());
  }
}

TEST(StreamTest, ACancelledStreamLeavesNothingBehind) {
  TestServer server;
  server.model().Hold();
  testing::PendingEncode running(server, IdsRequest(1));
  server.model().AwaitHeld();
  Stream stream(server);
  for (int i = 0; i < 5; ++i) stream.Send(std::to_string(i), IdsRequest(1));
  ASSERT_TRUE(Eventually([&] { return server.server().queue_depth().jobs == 5; }));
  stream.context().TryCancel();
  EXPECT_EQ(stream.Finish().error_code(), grpc::StatusCode::CANCELLED);
  ASSERT_TRUE(Eventually([&] { return server.server().requests_in_flight() == 1; }));
  server.model().Release();
  EXPECT_TRUE(running.Await().ok());
  EXPECT_EQ(server.model().computed(), 1);
}

}  // namespace
}  // namespace attnd
