// Goal: several models in one process are each found by name, keep their queues, limits and metrics
// apart, and share the workers; equal inputs in flight are computed once and kept results are used,
// where the operator says so. Method: a server on a real port with two stub models.

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/scrape.h"
#include "tests/server/test_server.h"

namespace attnd {
namespace {

using testing::Encode;
using testing::Eventually;
using ::testing::HasSubstr;
using testing::IdsRequest;
using testing::PendingEncode;
using testing::ReasonIn;
using testing::Scrape;
using testing::StubModel;
using testing::TestServer;
using testing::TextRequest;

Config WithMetrics() {
  Config config = TestServer::DefaultConfig();
  config.metrics_listen = "127.0.0.1:0";
  return config;
}

// A second model beside the stub, whose rows are 1000 above those of the first.
class TwoModels {
 public:
  explicit TwoModels(const Config& config = WithMetrics(), int64_t second_queue_requests = 1024)
      : server_(config, {}, [&](std::vector<ModelEntry>& models) {
          ModelEntry second = testing::StubEntry(models[0].model, second_, models[0].limits);
          second.weight = 2;
          second.model.name = "second";
          second.model.info.version = "v2";
          second.limits.queue_requests = second_queue_requests;
          models.push_back(std::move(second));
        }) {
    second_.set_numbers({.column_step = 0.5f});
  }
  ~TwoModels() { second_.Release(); }

  TestServer& server() { return server_; }
  StubModel& second() { return second_; }

  static v1::EncodeRequest For(const std::string& model, v1::EncodeRequest request) {
    request.set_model(model);
    return request;
  }

 private:
  StubModel second_;
  TestServer server_;
};

TEST(ModelsTest, ARequestGoesToTheModelThatItNames) {
  TwoModels models;
  v1::EncodeResponse first, second, unnamed;
  ASSERT_TRUE(Encode(models.server(), TwoModels::For("stub", IdsRequest(7)), &first).ok());
  ASSERT_TRUE(Encode(models.server(), TwoModels::For("second", IdsRequest(7)), &second).ok());
  ASSERT_TRUE(Encode(models.server(), IdsRequest(7), &unnamed).ok());
  EXPECT_EQ(first.model().name(), "stub");
  EXPECT_EQ(second.model().name(), "second");
  EXPECT_EQ(second.model().version(), "v2");
  EXPECT_EQ(unnamed.model().name(), "stub");
  EXPECT_EQ(models.server().model().computed(), 2);
  EXPECT_EQ(models.second().computed(), 1);
  EXPECT_NE(first.encodings(0).pooled().data(), second.encodings(0).pooled().data());
}

TEST(ModelsTest, AnUnknownNameIsRefusedAndTheServedOnesAreNamed) {
  TwoModels models;
  const grpc::Status status = Encode(models.server(), TwoModels::For("third", IdsRequest(7)));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(ReasonIn(status.error_details()), "UNKNOWN_MODEL");
  EXPECT_THAT(status.error_message(), HasSubstr("\"stub\", \"second\""));
}

TEST(ModelsTest, AnUnknownNameIsQuotedButNotWithAllOfItsBytes) {
  TestServer server;
  const grpc::Status status =
      Encode(server, TwoModels::For(std::string(1 << 20, '\n'), IdsRequest(7)));
  EXPECT_EQ(ReasonIn(status.error_details()), "UNKNOWN_MODEL");
  EXPECT_THAT(status.error_message(), HasSubstr("\\n"));
  EXPECT_LT(status.error_message().size(), 300u);
}

TEST(ModelsTest, BothAreListedWithTheirLimits) {
  TwoModels models(WithMetrics(), 3);
  grpc::ClientContext list_context, get_context;
  v1::ListModelsResponse list;
  ASSERT_TRUE(models.server().models().ListModels(&list_context, {}, &list).ok());
  ASSERT_EQ(list.models_size(), 2);
  EXPECT_EQ(list.models(0).name(), "stub");
  EXPECT_EQ(list.models(1).limits().queue_requests(), 3);
  v1::GetModelRequest request;
  request.set_model("second");
  v1::GetModelResponse second;
  ASSERT_TRUE(models.server().models().GetModel(&get_context, request, &second).ok());
  EXPECT_EQ(second.model().name(), "second");
  EXPECT_EQ(second.model().weight(), 2);
}

TEST(ModelsTest, WhatItsTypeCostsIsToldUnlessThatIsF32) {
  const auto describe = [](TestServer& server) {
    grpc::ClientContext context;
    v1::GetModelResponse response;
    EXPECT_TRUE(server.models().GetModel(&context, {}, &response).ok());
    return response.model();
  };
  TestServer f32;
  EXPECT_EQ(describe(f32).dtype(), "f32");
  EXPECT_FALSE(describe(f32).has_accuracy());

  TestServer int8(TestServer::DefaultConfig(), [](ServedModel& model) {
    model.info.dtype = "int8";
    model.info.accuracy = Accuracy{.inputs = 40,
                                   .cosine_mean = 0.999,
                                   .cosine_min = 0.995,
                                   .worst = 6,
                                   .ranking_agreement = 0.98};
    model.worst_text = "line 7";
  });
  const v1::ModelInfo model = describe(int8);
  EXPECT_EQ(model.dtype(), "int8");
  EXPECT_EQ(model.accuracy().texts(), 40);
  EXPECT_EQ(model.accuracy().cosine_mean(), 0.999);
  EXPECT_EQ(model.accuracy().cosine_min(), 0.995);
  EXPECT_EQ(model.accuracy().worst_text(), "line 7");
  EXPECT_EQ(model.accuracy().ranking_agreement(), 0.98);
}

TEST(ModelsTest, EachHasItsHealth) {
  TwoModels models;
  const auto check = [&](const std::string& service) {
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckRequest request;
    grpc::health::v1::HealthCheckResponse response;
    request.set_service(service);
    const grpc::Status status = models.server().health().Check(&context, request, &response);
    return status.ok() ? static_cast<int>(response.status())
                       : -static_cast<int>(status.error_code());
  };
  EXPECT_EQ(check("models/second"), grpc::health::v1::HealthCheckResponse::SERVING);
  EXPECT_EQ(check("models/stub"), grpc::health::v1::HealthCheckResponse::SERVING);
  EXPECT_EQ(check("models/third"), -static_cast<int>(grpc::StatusCode::NOT_FOUND));
  EXPECT_EQ(check("models/"), -static_cast<int>(grpc::StatusCode::NOT_FOUND));
  models.server().server().SetNotServing();
  EXPECT_EQ(check("models/second"), grpc::health::v1::HealthCheckResponse::NOT_SERVING);
}

TEST(ModelsTest, AFullQueueOfOneDoesNotRefuseTheOther) {
  Config config = WithMetrics();
  config.workers = 2;
  TwoModels models(config, 1);
  models.second().Hold();
  PendingEncode running(models.server(), TwoModels::For("second", IdsRequest(1)));
  models.second().AwaitHeld();
  // A second worker is idle, and would take what waits: held too.
  PendingEncode held(models.server(), TwoModels::For("second", IdsRequest(2)));
  ASSERT_TRUE(Eventually([&] { return models.server().server().queue_depth(1).jobs == 0; }));
  const auto series = [&] { return Scrape(models.server().server().metrics_port()); };
  models.second().Release();
  EXPECT_TRUE(running.Await().ok());
  EXPECT_TRUE(held.Await().ok());

  models.second().Hold();
  v1::EncodeRequest three = TwoModels::For("second", IdsRequest(3));
  for (int i = 0; i < 2; ++i) three.add_inputs()->mutable_token_ids()->add_ids(4 + i);
  const grpc::Status full = Encode(models.server(), three);
  EXPECT_EQ(full.error_code(), grpc::StatusCode::INVALID_ARGUMENT);  // More than it ever takes.
  EXPECT_THAT(full.error_message(), HasSubstr("queue-requests"));
  three.clear_model();
  EXPECT_TRUE(Encode(models.server(), three).ok());
  models.second().Release();
  EXPECT_EQ(series().at("attnd_queue_requests{model=\"second\"}"), 0);
}

TEST(ModelsTest, MetricsAreCountedByModel) {
  TwoModels models;
  ASSERT_TRUE(Encode(models.server(), IdsRequest(1, 3)).ok());
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(Encode(models.server(), TwoModels::For("second", IdsRequest(1, 5))).ok());
  }
  EXPECT_FALSE(Encode(models.server(), TwoModels::For("second", IdsRequest(-1))).ok());
  EXPECT_FALSE(Encode(models.server(), TwoModels::For("third", IdsRequest(1))).ok());
  const auto series = Scrape(models.server().server().metrics_port());
  const auto requests = [&](const std::string& code, const std::string& model) {
    return series.at("attnd_requests_total{code=\"" + code + "\",method=\"Encode\",model=\"" +
                     model + "\"}");
  };
  EXPECT_EQ(requests("OK", "stub"), 1);
  EXPECT_EQ(requests("OK", "second"), 2);
  EXPECT_EQ(requests("INVALID_ARGUMENT", "second"), 1);
  EXPECT_EQ(requests("NOT_FOUND", ""), 1);
  EXPECT_EQ(series.at("attnd_rejected_total{model=\"\",reason=\"UNKNOWN_MODEL\"}"), 1);
  EXPECT_EQ(series.at("attnd_batch_tokens_sum{model=\"stub\"}"), 3);
  EXPECT_EQ(series.at("attnd_batch_tokens_sum{model=\"second\"}"), 10);
  EXPECT_EQ(series.at("attnd_compute_duration_seconds_count{model=\"second\"}"), 2);
}

// Six equal requests while the worker is held: how many were computed.
int ComputedOfSix(const Config& config, const v1::EncodeRequest& request) {
  TestServer server(config);
  server.model().Hold();
  PendingEncode running(server, IdsRequest(60));
  server.model().AwaitHeld();
  {
    std::vector<std::unique_ptr<PendingEncode>> equal;
    for (int i = 0; i < 6; ++i) equal.push_back(std::make_unique<PendingEncode>(server, request));
    EXPECT_TRUE(Eventually([&] { return server.server().queue_depth().jobs == 6; }));
    server.model().Release();
    for (const auto& call : equal) EXPECT_TRUE(call->Await().ok());
  }
  return server.model().computed() - 1;
}

TEST(SharingTest, EqualInputsInFlightAreComputedOnceUnlessTurnedOff) {
  Config config = WithMetrics();
  config.share_identical = true;
  EXPECT_EQ(ComputedOfSix(config, TextRequest("a b c")), 1);
  config.share_identical = false;
  EXPECT_EQ(ComputedOfSix(config, TextRequest("a b c")), 6);
  config.result_cache_bytes = 1 << 20;  // Keeping results is another thing.
  EXPECT_EQ(ComputedOfSix(config, TextRequest("a b c")), 6);
}

TEST(SharingTest, InputsOfOneRequestAreSharedToo) {
  Config config = WithMetrics();
  config.share_identical = true;
  TestServer server(config);
  v1::EncodeRequest request = TextRequest("a b");
  *request.add_inputs() = request.inputs(0);
  request.add_inputs()->set_text("x y z");
  v1::EncodeResponse response;
  ASSERT_TRUE(Encode(server, request, &response).ok());
  EXPECT_EQ(server.model().computed(), 2);
  EXPECT_EQ(response.encodings(0).pooled().data(), response.encodings(1).pooled().data());
  EXPECT_NE(response.encodings(0).pooled().data(), response.encodings(2).pooled().data());
  EXPECT_NE(response.encodings(0).timings().shared(), response.encodings(1).timings().shared());
  const auto series = Scrape(server.server().metrics_port());
  EXPECT_EQ(series.at("attnd_inputs_shared_total{model=\"stub\"}"), 1);
}

TEST(SharingTest, OtherSettingsAreOtherWork) {
  Config config = WithMetrics();
  config.share_identical = true;
  TestServer server(config);
  v1::EncodeRequest request = TextRequest("a b");
  ASSERT_TRUE(Encode(server, request).ok());
  server.model().Hold();
  PendingEncode mean(server, request);
  server.model().AwaitHeld();
  request.mutable_options()->set_pooling(v1::POOLING_CLS);
  PendingEncode cls(server, request);
  ASSERT_TRUE(Eventually([&] { return server.server().queue_depth().jobs == 1; }));
  server.model().Release();
  EXPECT_TRUE(mean.Await().ok());
  EXPECT_TRUE(cls.Await().ok());
  EXPECT_EQ(server.model().computed(), 3);
}

TEST(CacheTest, WhatCameBeforeIsNotComputedAgain) {
  Config config = WithMetrics();
  config.result_cache_bytes = 1 << 20;
  TwoModels models(config);
  v1::EncodeResponse first, again, other;
  ASSERT_TRUE(Encode(models.server(), TextRequest("a b"), &first).ok());
  ASSERT_TRUE(Encode(models.server(), TextRequest("a b"), &again).ok());
  EXPECT_EQ(models.server().model().computed(), 1);
  EXPECT_FALSE(first.encodings(0).timings().kept());
  EXPECT_TRUE(again.encodings(0).timings().kept());
  EXPECT_EQ(first.encodings(0).pooled().data(), again.encodings(0).pooled().data());
  // Of another model it is another result.
  ASSERT_TRUE(Encode(models.server(), TwoModels::For("second", TextRequest("a b")), &other).ok());
  EXPECT_NE(first.encodings(0).pooled().data(), other.encodings(0).pooled().data());
  const auto series = Scrape(models.server().server().metrics_port());
  EXPECT_EQ(series.at("attnd_result_cache_hits_total{model=\"stub\"}"), 1);
  EXPECT_EQ(series.at("attnd_result_cache_misses_total{model=\"stub\"}"), 1);
  EXPECT_EQ(series.at("attnd_result_cache_misses_total{model=\"second\"}"), 1);
  EXPECT_EQ(series.at("attnd_result_cache_entries"), 2);
  EXPECT_GT(series.at("attnd_result_cache_bytes"), 0);
}

TEST(CacheTest, AStreamUsesItAndPartOfARequestMayBeKept) {
  Config config = WithMetrics();
  config.result_cache_bytes = 1 << 20;
  TestServer server(config);
  ASSERT_TRUE(Encode(server, TextRequest("a b")).ok());
  grpc::ClientContext context;
  auto stream = server.encoder().EncodeStream(&context);
  v1::EncodeStreamRequest message;
  message.set_id("1");
  *message.mutable_request() = TextRequest("a b");
  for (const std::string id : {"1", "2"}) {
    message.set_id(id);
    ASSERT_TRUE(stream->Write(message));
    v1::EncodeStreamResponse response;
    ASSERT_TRUE(stream->Read(&response));
    ASSERT_TRUE(response.has_response()) << response.error().message();
    EXPECT_TRUE(response.response().encodings(0).timings().kept());
    message.mutable_request()->add_inputs()->set_text(id);
  }
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(server.model().computed(), 2);
}

TEST(CacheTest, WindowsOfWhichSomeAreKeptHaveTheTimesOfTheOthers) {
  Config config = WithMetrics();
  config.result_cache_bytes = 1 << 20;
  TestServer server(config);
  v1::EncodeRequest request = TextRequest("a b c d e f");
  auto& windows = *request.mutable_options()->mutable_windows();
  windows.set_length(6);  // Four besides the special tokens.
  windows.set_stride(4);
  ASSERT_TRUE(Encode(server, request).ok());
  request.mutable_inputs(0)->set_text("a b c d x y");
  v1::EncodeResponse response;
  ASSERT_TRUE(Encode(server, request, &response).ok());
  EXPECT_EQ(server.model().computed(), 3);
  const v1::Timings& timings = response.encodings(0).timings();
  EXPECT_FALSE(timings.kept());
  EXPECT_GE(timings.queue_seconds(), 0);
  EXPECT_GE(timings.compute_seconds(), 0);
  EXPECT_GT(timings.batch_tokens(), 0);
}

TEST(CacheTest, ItIsOffUnlessAskedFor) {
  TestServer server(WithMetrics());
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(Encode(server, TextRequest("a")).ok());
  EXPECT_EQ(server.model().computed(), 2);
  EXPECT_EQ(Scrape(server.server().metrics_port()).at("attnd_result_cache_entries"), 0);
}

}  // namespace
}  // namespace attnd
