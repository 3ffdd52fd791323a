// Goal: the key of a file or of the environment goes with every call of the library and of attnctl,
// and nowhere else. Method: servers that write down the `authorization` of each call; command lines
// with good and bad files and variables.

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "attnd/v1/encoder.grpc.pb.h"
#include "attnd/v1/model.grpc.pb.h"
#include "client/channel.h"
#include "client/client.h"
#include "gmock/gmock.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "tests/client/run_attnctl.h"
#include "tests/support/temp_dir.h"

namespace attnd::client {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::TempDir;

namespace health = grpc::health::v1;

// Answers what the commands need, and keeps what calls had for `authorization`: all values of a
// call, each after a '|'.
class KeyRecorder final : public v1::EncoderService::Service,
                          public v1::ModelService::Service,
                          public health::Health::Service {
 public:
  KeyRecorder() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(static_cast<v1::EncoderService::Service*>(this));
    builder.RegisterService(static_cast<v1::ModelService::Service*>(this));
    builder.RegisterService(static_cast<health::Health::Service*>(this));
    server_ = builder.BuildAndStart();
  }

  std::string target() const { return "127.0.0.1:" + std::to_string(port_); }

  std::vector<std::string> Take() {
    absl::MutexLock lock(&mutex_);
    return std::move(seen_);
  }

  grpc::Status Encode(grpc::ServerContext* context, const v1::EncodeRequest*,
                      v1::EncodeResponse* response) override {
    Record(*context);
    response->add_encodings();
    return grpc::Status::OK;
  }
  grpc::Status EncodeStream(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::EncodeStreamResponse, v1::EncodeStreamRequest>*) override {
    Record(*context);
    return grpc::Status::OK;
  }
  grpc::Status GetModel(grpc::ServerContext* context, const v1::GetModelRequest*,
                        v1::GetModelResponse* response) override {
    Record(*context);
    response->mutable_model()->set_max_length_limit(16);
    response->mutable_model()->set_vocabulary_size(100);
    return grpc::Status::OK;
  }
  grpc::Status Check(grpc::ServerContext* context, const health::HealthCheckRequest*,
                     health::HealthCheckResponse* response) override {
    Record(*context);
    response->set_status(health::HealthCheckResponse::SERVING);
    return grpc::Status::OK;
  }
  grpc::Status Watch(grpc::ServerContext* context, const health::HealthCheckRequest*,
                     grpc::ServerWriter<health::HealthCheckResponse>*) override {
    Record(*context);
    return grpc::Status::OK;
  }

 private:
  void Record(const grpc::ServerContext& context) {
    std::string values;
    const auto [begin, end] = context.client_metadata().equal_range("authorization");
    for (auto it = begin; it != end; ++it) {
      values += "|" + std::string(it->second.data(), it->second.size());
    }
    absl::MutexLock lock(&mutex_);
    seen_.push_back(values);
  }

  int port_ = 0;
  absl::Mutex mutex_;
  std::vector<std::string> seen_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<grpc::Server> server_;
};

// The variable for the time of one test.
class KeyInEnvironment {
 public:
  explicit KeyInEnvironment(const char* key) { setenv("ATTND_API_KEY", key, 1); }
  ~KeyInEnvironment() { unsetenv("ATTND_API_KEY"); }
};

TEST(ApiKeyTest, ItGoesWithCallsOfEveryKind) {
  KeyRecorder server;
  const Client client({.target = server.target(), .api_key = "k1"});
  EXPECT_TRUE(client.Encode({"a"}).ok());
  EXPECT_TRUE(client.GetModel().ok());
  EXPECT_TRUE(client.Health().ok());
  EXPECT_TRUE(client.WatchHealth("", [](ServingStatus) { return true; }).ok());
  const auto stream = client.OpenEncodeStream();
  stream->CloseSend();
  StreamReply reply;
  EXPECT_FALSE(stream->Receive(reply));
  EXPECT_TRUE(stream->Finish().ok());
  const std::vector<std::string> seen = server.Take();
  EXPECT_EQ(seen.size(), 5u);
  EXPECT_THAT(seen, Each("|Bearer k1"));
}

TEST(ApiKeyTest, WithoutOneOrWithOneThatMayNotTravelNothingIsSent) {
  KeyRecorder server;
  for (const std::string& key : {std::string(), std::string("two words"), std::string("line\n"),
                                 std::string("\xc3\xa4"), std::string(513, 'k')}) {
    EXPECT_FALSE(IsApiKey(key));
    EXPECT_TRUE(Client({.target = server.target(), .api_key = key}).Encode({"a"}).ok());
    EXPECT_THAT(server.Take(), ElementsAre("")) << key;
  }
  EXPECT_TRUE(IsApiKey(std::string(512, 'k')));
}

TEST(ApiKeyTest, CommandsTakeItFromAFileOrTheEnvironment) {
  KeyRecorder server;
  const TempDir folder;
  folder.Write("key", "from-file\n");
  const std::string file = folder / "key";
  const std::vector<std::string> health = {"health", "--target", server.target()};
  auto with_file = health;
  with_file.insert(with_file.end(), {"--api-key-file", file});

  EXPECT_EQ(Attnctl(health).code, 0);
  EXPECT_THAT(server.Take(), ElementsAre(""));
  EXPECT_EQ(Attnctl(with_file).code, 0);
  EXPECT_THAT(server.Take(), ElementsAre("|Bearer from-file"));
  const KeyInEnvironment environment("from-environment");
  EXPECT_EQ(Attnctl(health).code, 0);
  EXPECT_THAT(server.Take(), ElementsAre("|Bearer from-environment"));
  EXPECT_EQ(Attnctl(with_file).code, 0);
  EXPECT_THAT(server.Take(), ElementsAre("|Bearer from-file"));
}

TEST(ApiKeyTest, LoadSendsItOnAllItsConnections) {
  KeyRecorder server;
  const KeyInEnvironment environment("k1");
  const Outcome done = Attnctl({"load", "--target", server.target(), "--concurrency", "4",
                                "--connections", "4", "--warmup", "0", "--duration", "0.1"});
  EXPECT_EQ(done.code, 0) << done.error;
  const std::vector<std::string> seen = server.Take();
  EXPECT_GT(seen.size(), 4u);
  EXPECT_THAT(seen, Each("|Bearer k1"));
}

TEST(ApiKeyTest, ABadOneEndsTheCommandAndIsNotShown) {
  KeyRecorder server;
  const TempDir folder;
  for (const char* text : {"", "\n", "canary canary", "canary\ncanary\n", "\xc3\xa4"}) {
    folder.Write("key", text);
    const std::vector<std::string> command = {"health", "--target", server.target(),
                                              "--api-key-file", folder / "key"};
    const Outcome done = Attnctl(command);
    EXPECT_EQ(done.code, 2) << text;
    EXPECT_THAT(done.error, HasSubstr("--api-key-file: it does not hold a key")) << text;
    EXPECT_THAT(done.out + done.error, Not(HasSubstr("canary")));
  }
  const Outcome missing =
      Attnctl({"health", "--target", server.target(), "--api-key-file", folder / "missing"});
  EXPECT_EQ(missing.code, 2);
  EXPECT_THAT(missing.error, HasSubstr("cannot open"));
  const KeyInEnvironment environment("canary canary");
  const Outcome done = Attnctl({"health", "--target", server.target()});
  EXPECT_EQ(done.code, 2);
  EXPECT_THAT(done.error, HasSubstr("ATTND_API_KEY: it does not hold a key"));
  EXPECT_THAT(done.out + done.error, Not(HasSubstr("canary")));
  EXPECT_THAT(server.Take(), IsEmpty());
}

TEST(ApiKeyTest, NoFlagTakesTheKeyItself) {
  EXPECT_EQ(Attnctl({"health", "--api-key", "k1"}).code, 2);
}

}  // namespace
}  // namespace attnd::client
