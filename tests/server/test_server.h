#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/synchronization/mutex.h"
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
#include "tests/support/tiny_model.h"

namespace attnd::testing {

inline constexpr int32_t kHidden = 4;

// A model that isn't there: outputs are a function of the ids, and a gate holds the worker when a
// test wants a queue. It counts the jobs that it computes.
class StubModel {
 public:
  // Closes the gate: the next batch waits before it is computed.
  void Hold() {
    absl::MutexLock lock(&mutex_);
    open_ = false;
  }
  void Release() {
    absl::MutexLock lock(&mutex_);
    open_ = true;
  }
  // Returns when a batch waits at the closed gate.
  void AwaitHeld() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&held_));
  }
  int computed() const { return computed_; }
  void FailWith(absl::Status status) {
    absl::MutexLock lock(&mutex_);
    failure_ = std::move(status);
  }

  // What the model's head says about a task, whose outputs have their sizes. Set before the first
  // request.
  void FillWith(std::function<void(EncodeTask& task)> fill) { fill_ = std::move(fill); }

  absl::Status Step(std::span<Job* const> batch) {
    {
      absl::MutexLock lock(&mutex_);
      held_ = !open_;
      mutex_.Await(absl::Condition(&open_));
      held_ = false;
      if (!failure_.ok()) return failure_;
    }
    for (Job* job : batch) {
      computed_ += 1;
      if (auto* task = std::get_if<EncodeTask>(&job->task)) {
        Fill(*task);
        if (fill_) fill_(*task);
      }
      if (auto* task = std::get_if<AttendTask>(&job->task)) RunAttend(*task);
      if (auto* task = std::get_if<SelfAttentionTask>(&job->task)) RunSelfAttention(*task);
    }
    return absl::OkStatus();
  }

  // What row `row` of a task with these ids is filled with.
  static float Value(const EncodeTask& task, size_t row) {
    return task.ids.empty() ? task.embeddings[row * kHidden] : static_cast<float>(task.ids[row]);
  }

 private:
  static void Fill(EncodeTask& task) {
    for (size_t i = 0; i < task.rows_out.size(); ++i) task.rows_out[i] = Value(task, i / kHidden);
    for (float& value : task.pooled_out) value = Value(task, 0);
  }

  absl::Mutex mutex_;
  bool open_ = true;
  bool held_ = false;
  absl::Status failure_;
  std::function<void(EncodeTask& task)> fill_;
  std::atomic<int> computed_ = 0;
};

class StubExecutor : public Executor {
 public:
  explicit StubExecutor(StubModel& model) : model_(model) {}
  absl::Status Step(std::span<Job* const> batch) override { return model_.Step(batch); }

 private:
  StubModel& model_;
};

// The stub as the services see it, with a real tokenizer.
inline ServedModel StubServedModel(const Tokenizer* tokenizer) {
  ServedModel served;
  served.name = "stub";
  served.info = {.family = "bert",
                 .version = "0123456789abcdef",
                 .hidden = kHidden,
                 .layers = 1,
                 .heads = 1,
                 .vocabulary = tokenizer->id_end(),
                 .token_types = 2,
                 .length_max = 64,
                 .length_default = 32,
                 .pooling = Pooling::kMean,
                 .dtype = "f32",
                 .checkpoint_dtype = "F32"};
  served.isa = "none";
  served.onednn_version = "none";
  served.tokenize = [tokenizer](auto text, auto pair, const TokenizeOptions& options) {
    return tokenizer->Encode(text, pair, options);
  };
  served.token_of = [tokenizer](int32_t id) { return tokenizer->TokenOf(id); };
  served.decode = [tokenizer](std::span<const int32_t> ids, bool skip_special_tokens) {
    return tokenizer->Decode(ids, skip_special_tokens);
  };
  served.size_outputs = [](EncodeTask& task) {
    const size_t rows = task.ids.empty() ? task.embeddings.size() / kHidden : task.ids.size();
    if (task.return_rows) task.rows_out.resize(rows * kHidden);
    if (task.pooling) task.pooled_out.resize(kHidden);
  };
  return served;
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
    return config;
  }

  // `adjust` may make another model of the stub.
  explicit TestServer(Config config = DefaultConfig(),
                      const std::function<void(ServedModel& model)>& adjust = {}) {
    auto loaded = Tokenizer::Load(TinyTokenizer());
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    tokenizer_ = *std::move(loaded);
    ServedModel served = StubServedModel(tokenizer_.get());
    if (adjust) adjust(served);
    auto server = Server::Start(
        config, std::move(served),
        [this](int) -> std::unique_ptr<Executor> { return std::make_unique<StubExecutor>(model_); },
        MakeLogger(LogFormat::kText, config.log_level));
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
  Server& server() { return *server_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  v1::EncoderService::Stub& encoder() { return *encoder_; }
  v1::AttentionService::Stub& attention() { return *attention_; }
  v1::ModelService::Stub& models() { return *models_; }
  grpc::health::v1::Health::Stub& health() { return *health_; }

 private:
  std::unique_ptr<const Tokenizer> tokenizer_;
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
