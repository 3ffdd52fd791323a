#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "attnd/v1/attention.grpc.pb.h"
#include "attnd/v1/encoder.grpc.pb.h"
#include "attnd/v1/error.pb.h"
#include "attnd/v1/model.grpc.pb.h"
#include "core/input/tokenizer.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "server/observe/log.h"
#include "server/server.h"
#include "tests/server/stub_model.h"
#include "tests/support/tiny_model.h"

namespace attnd::testing {

// What Server::Start is given to serve `served`, computed by `model`, which must outlive the
// server.
inline ModelEntry StubEntry(ServedModel served, StubModel& model, const Limits& limits) {
  return {.model = std::move(served),
          .executors = [&model](int) { return std::make_unique<StubExecutor>(model); },
          .limits = limits};
}

// A server on a port of the system's choice, with the stub behind it, and a channel to it.
class TestServer {
 public:
  static Config DefaultConfig() {
    Config config;
    config.listen = "127.0.0.1:0";
    config.metrics_listen = "";
    config.workers = 1;
    config.log_level = "error";
    config.share_identical = false;  // Tests send the same text again and again.
    // Behind a gate, or where a machine stands still, a batch takes any time.
    config.limits.queue_wait = config.limits.default_deadline = config.limits.deadline_cap =
        std::chrono::hours(1);
    return config;
  }

  // `change` is made to the model before it is served; `more` may add others behind it.
  explicit TestServer(const Config& config = DefaultConfig(),
                      const std::function<void(ServedModel&)>& change = {},
                      const std::function<void(std::vector<ModelEntry>&)>& more = {}) {
    auto loaded = Tokenizer::Load(TinyTokenizer());
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    tokenizer_ = *std::move(loaded);
    served_ = StubServedModel(tokenizer_.get());
    if (change) change(served_);
    served_.size_outputs = [info = served_.info](EncodeTask& task) { SizeStubOutputs(info, task); };
    std::vector<ModelEntry> models;
    models.push_back(StubEntry(served_, model_, config.limits));
    if (more) more(models);
    auto server =
        Server::Start(config, std::move(models), MakeLogger(LogFormat::kText, config.log_level));
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    arguments.SetMaxReceiveMessageSize(-1);
    channel_ = grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(server_->port()),
                                         grpc::InsecureChannelCredentials(), arguments);
    encoder_ = v1::EncoderService::NewStub(channel_);
    attention_ = v1::AttentionService::NewStub(channel_);
    models_ = v1::ModelService::NewStub(channel_);
    health_ = grpc::health::v1::Health::NewStub(channel_);
  }
  // A test that fails must not wait at its own gate.
  ~TestServer() { model_.Release(); }

  StubModel& model() { return model_; }
  const ServedModel& served() const { return served_; }
  Server& server() { return *server_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  v1::EncoderService::Stub& encoder() { return *encoder_; }
  v1::AttentionService::Stub& attention() { return *attention_; }
  v1::ModelService::Stub& models() { return *models_; }
  grpc::health::v1::Health::Stub& health() { return *health_; }

 private:
  std::unique_ptr<const Tokenizer> tokenizer_;
  ServedModel served_;
  StubModel model_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::EncoderService::Stub> encoder_;
  std::unique_ptr<v1::AttentionService::Stub> attention_;
  std::unique_ptr<v1::ModelService::Stub> models_;
  std::unique_ptr<grpc::health::v1::Health::Stub> health_;
};

// The reason in serialized details (`grpc-status-details-bin`, StreamError.status).
inline std::string ReasonIn(const std::string& details) {
  google::rpc::Status status;
  google::rpc::ErrorInfo info;
  if (!status.ParseFromString(details)) return "no details";
  for (const auto& detail : status.details()) {
    if (detail.UnpackTo(&info)) return info.domain() == "attnd" ? info.reason() : "other domain";
  }
  return "no ErrorInfo";
}

// The field that is to blame, in serialized details.
inline std::string FieldIn(const std::string& details) {
  google::rpc::Status status;
  google::rpc::BadRequest bad;
  if (!status.ParseFromString(details)) return "no details";
  for (const auto& detail : status.details()) {
    if (detail.UnpackTo(&bad) && bad.field_violations_size() == 1) {
      return bad.field_violations(0).field();
    }
  }
  return "";
}

inline v1::EncodeRequest TextRequest(std::string_view text) {
  v1::EncodeRequest request;
  request.add_inputs()->set_text(std::string(text));
  return request;
}

// One input of `count` ids, each `id`.
inline v1::EncodeRequest IdsRequest(int32_t id, int count = 1) {
  v1::EncodeRequest request;
  auto* ids = request.add_inputs()->mutable_token_ids();
  for (int i = 0; i < count; ++i) ids->add_ids(id);
  return request;
}

inline grpc::Status Encode(TestServer& server, const v1::EncodeRequest& request,
                           v1::EncodeResponse* response = nullptr) {
  grpc::ClientContext context;
  v1::EncodeResponse ignored;
  return server.encoder().Encode(&context, request, response ? response : &ignored);
}

// Sends `bytes` as they are to "/SERVICE/METHOD".
inline grpc::Status SendRaw(TestServer& server, const std::string& method,
                            const std::string& bytes) {
  grpc::GenericStub stub(server.channel());
  grpc::ClientContext context;
  const grpc::Slice slice(bytes);
  const grpc::ByteBuffer request(&slice, 1);
  grpc::ByteBuffer response;
  grpc::Status status;
  absl::Notification done;
  stub.UnaryCall(&context, method, {}, &request, &response, [&](grpc::Status result) {
    status = std::move(result);
    done.Notify();
  });
  done.WaitForNotification();
  return status;
}

// Waits for what another thread is about to do; gives up after a time that only a bug takes.
template <typename Condition>
bool Eventually(const Condition& condition) {
  const auto limit = Clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (Clock::now() > limit) return false;
    std::this_thread::yield();
  }
  return true;
}

// A unary Encode that runs while the test goes on.
class PendingEncode {
 public:
  PendingEncode(TestServer& server, v1::EncodeRequest request,
                std::chrono::milliseconds deadline = std::chrono::seconds(60))
      : request_(std::move(request)) {
    context_.set_deadline(std::chrono::system_clock::now() + deadline);
    server.encoder().async()->Encode(&context_, &request_, &response_, [this](grpc::Status result) {
      status_ = std::move(result);
      done_.Notify();
    });
  }
  ~PendingEncode() { done_.WaitForNotification(); }

  const grpc::Status& Await() {
    done_.WaitForNotification();
    return status_;
  }
  grpc::ClientContext& context() { return context_; }

 private:
  grpc::ClientContext context_;
  v1::EncodeRequest request_;
  v1::EncodeResponse response_;
  grpc::Status status_;
  absl::Notification done_;
};

}  // namespace attnd::testing
