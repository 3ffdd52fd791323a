#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "attnd/v1/attention.grpc.pb.h"
#include "attnd/v1/encoder.grpc.pb.h"
#include "attnd/v1/model.grpc.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/grpcpp.h"
#include "tests/client/fake_heads.h"

// A server of the contract with no engine, on a free port of the loopback: answers that a test can
// foretell.
namespace attnd::client {

// The pooled vector is {number of bytes of the text, or of ids}, token vectors are [2, 2] of 0.1
// and 1..3. Texts that ask for more: "refuse" fails with details, "parts" comes in two messages,
// "break" ends the stream, "last" is answered and then ends it with an error.
class FakeEncoder final : public v1::EncoderService::Service {
 public:
  // Replies on a stream are held back until this many are there, and sent newest first.
  std::atomic<int> reverse_group = 1;
  std::atomic<int> requests = 0;
  std::atomic<bool> stream_had_deadline = false;
  LastRequest<v1::SimilarityRequest> last_similarity;
  LastRequest<v1::EncodeRequest> last_streamed;

  v1::EncodeOptions last_options() {
    absl::MutexLock lock(&mutex_);
    return last_options_;
  }

  static grpc::Status Refusal() {
    google::rpc::ErrorInfo info;
    info.set_reason("TOO_LONG");
    info.set_domain("attnd");
    google::rpc::BadRequest bad_request;
    auto& violation = *bad_request.add_field_violations();
    violation.set_field("inputs[0].text");
    violation.set_description("600 tokens; the maximum length is 512");
    google::rpc::Status status;
    status.set_code(grpc::StatusCode::INVALID_ARGUMENT);
    status.set_message("inputs[0] has 600 tokens");
    status.add_details()->PackFrom(info);
    status.add_details()->PackFrom(bad_request);
    return {grpc::StatusCode::INVALID_ARGUMENT, status.message(), status.SerializeAsString()};
  }

  static v1::Tensor Floats(const std::vector<int64_t>& shape, const std::vector<float>& values) {
    return FloatTensor(shape, values);
  }

  grpc::Status Encode(grpc::ServerContext*, const v1::EncodeRequest* request,
                      v1::EncodeResponse* response) override {
    ++requests;
    {
      absl::MutexLock lock(&mutex_);
      last_options_ = request->options();
    }
    response->mutable_model()->set_name("fake");
    response->mutable_model()->set_version("v1");
    for (const v1::Input& input : request->inputs()) {
      if (input.text() == "refuse") return Refusal();
      FillEncoding(input, *request, *response->add_encodings());
    }
    return grpc::Status::OK;
  }

  grpc::Status EncodeStream(grpc::ServerContext* context,
                            grpc::ServerReaderWriter<v1::EncodeStreamResponse,
                                                     v1::EncodeStreamRequest>* stream) override {
    stream_had_deadline = context->deadline() != std::chrono::system_clock::time_point::max();
    std::vector<v1::EncodeStreamRequest> held;
    v1::EncodeStreamRequest request;
    const auto answer_held = [&] {
      std::reverse(held.begin(), held.end());
      for (const auto& each : held) Answer(each, *stream);
      held.clear();
    };
    while (stream->Read(&request)) {
      if (request.request().inputs(0).text() == "break") {
        return {grpc::StatusCode::UNAVAILABLE, "shutting down"};
      }
      last_streamed.Set(request.request());
      held.push_back(request);
      if (static_cast<int>(held.size()) >= reverse_group) answer_held();
      if (request.request().inputs(0).text() == "last") {
        return {grpc::StatusCode::UNAVAILABLE, "shutting down"};
      }
    }
    answer_held();
    return grpc::Status::OK;
  }

  // 1 for equal places, 0.5 else. A source "lose" has no row.
  grpc::Status Similarity(grpc::ServerContext*, const v1::SimilarityRequest* request,
                          v1::SimilarityResponse* response) override {
    last_similarity.Set(*request);
    SetFakeModel(*response);
    const int columns =
        request->targets().empty() ? request->sources_size() : request->targets_size();
    std::vector<float> values;
    int64_t rows = 0;
    for (int row = 0; row < request->sources_size(); ++row) {
      if (request->sources(row).text() == "lose") continue;
      ++rows;
      for (int column = 0; column < columns; ++column) values.push_back(row == column ? 1 : 0.5F);
    }
    *response->mutable_similarities() = FloatTensor({rows, columns}, values);
    return grpc::Status::OK;
  }

 private:
  static void FillEncoding(const v1::Input& input, const v1::EncodeRequest& request,
                           v1::Encoding& encoding) {
    const auto& options = request.options();
    const float size =
        input.has_token_ids()
            ? static_cast<float>(input.token_ids().ids_size())
            : static_cast<float>(input.has_text_pair() ? input.text_pair().second().size()
                                                       : input.text().size());
    encoding.set_token_count(2);
    encoding.set_truncated(options.truncation() == v1::TRUNCATION_RIGHT);
    encoding.mutable_timings()->set_compute_seconds(0.001);
    *encoding.mutable_pooled() = Floats({1}, {size});
    if (options.return_token_vectors()) {
      *encoding.mutable_token_vectors() = Floats({2, 2}, {0.1F, 1, 2, 3});
    }
    FillRepresentations(options, encoding);
    if (!options.return_tokens()) return;
    FakeTokenizer::FillTokens(*encoding.mutable_tokens());
  }

  void Answer(const v1::EncodeStreamRequest& request,
              grpc::ServerReaderWriter<v1::EncodeStreamResponse, v1::EncodeStreamRequest>& stream) {
    v1::EncodeStreamResponse response;
    response.set_id(request.id());
    response.set_last(true);
    const grpc::Status status = Encode(nullptr, &request.request(), response.mutable_response());
    if (!status.ok()) {
      response.mutable_error()->set_code(status.error_code());
      response.mutable_error()->set_message(status.error_message());
      response.mutable_error()->set_status(status.error_details());
    } else if (request.request().inputs(0).text() == "parts") {
      v1::EncodeStreamResponse first = response;
      first.set_last(false);
      auto& begun = *first.mutable_response()->mutable_encodings(0);
      *begun.mutable_token_vectors() = Floats({1, 2}, {0.1F, 1});
      begun.clear_pooled();
      begun.clear_spans();
      begun.clear_span_vectors();
      stream.Write(first);
      auto& rest = *response.mutable_response()->mutable_encodings(0);
      rest.set_first_row(1);
      rest.clear_tokens();
      rest.clear_hidden_layers();
      *rest.mutable_token_vectors() = Floats({1, 2}, {2, 3});
    }
    stream.Write(response);
  }

  absl::Mutex mutex_;
  v1::EncodeOptions last_options_ ABSL_GUARDED_BY(mutex_);
};

class FakeAttention final : public v1::AttentionService::Service {
 public:
  // Returns the values as they came, and the scale, if there is one, as the weights.
  grpc::Status Attend(grpc::ServerContext*, const v1::AttendRequest* request,
                      v1::AttendResponse* response) override {
    *response->mutable_output() = request->value();
    if (request->has_scale()) {
      *response->mutable_weights() = FakeEncoder::Floats({1}, {request->scale()});
    }
    return grpc::Status::OK;
  }
  grpc::Status SelfAttention(grpc::ServerContext*, const v1::SelfAttentionRequest* request,
                             v1::SelfAttentionResponse* response) override {
    // As gRPC answers for a method that is not there.
    if (request->heads() == 77) return {grpc::StatusCode::UNIMPLEMENTED, ""};
    *response->mutable_output() = request->input();
    return grpc::Status::OK;
  }
};

class FakeModels final : public v1::ModelService::Service {
 public:
  grpc::Status ListModels(grpc::ServerContext*, const v1::ListModelsRequest*,
                          v1::ListModelsResponse* response) override {
    *response->add_models() = Info();
    return grpc::Status::OK;
  }
  grpc::Status GetModel(grpc::ServerContext*, const v1::GetModelRequest* request,
                        v1::GetModelResponse* response) override {
    if (!request->model().empty() && request->model() != "fake") {
      return {grpc::StatusCode::NOT_FOUND, "no model " + request->model()};
    }
    *response->mutable_model() = Info();
    return grpc::Status::OK;
  }

 private:
  static v1::ModelInfo Info() {
    v1::ModelInfo info;
    info.set_name("fake");
    info.set_version("v1");
    info.set_family("bert");
    info.set_dtype("int8");
    auto& accuracy = *info.mutable_accuracy();
    accuracy.set_texts(40);
    accuracy.set_cosine_mean(0.99912);
    accuracy.set_cosine_min(0.9975);
    accuracy.set_worst_text("caf\u00e9\nau lait");
    accuracy.set_ranking_agreement(0.995);
    info.set_hidden_size(2);
    info.set_vocabulary_size(30522);
    info.set_max_length_limit(512);
    info.set_max_length_default(256);
    info.set_pooling(v1::POOLING_MEAN);
    info.set_normalize(true);
    info.mutable_limits()->set_inputs_per_request(32);
    info.mutable_limits()->set_held_bytes(1024);
    info.mutable_limits()->set_default_deadline_seconds(1.5);
    info.set_layers(kFakeLayers);
    info.set_heads(2);
    info.set_head(v1::HEAD_SEQUENCE_LABELS);
    info.add_labels("NEGATIVE");
    info.add_labels("POSITIVE");
    info.set_score_function(v1::SCORE_FUNCTION_SOFTMAX);
    (*info.mutable_prompts())["query"] = "search_query: ";
    (*info.mutable_prompts())["passage"] = "search_document: ";
    info.set_default_prompt_name("passage");
    info.set_projection_size(128);
    auto& kernel = *info.add_kernels();
    kernel.set_layer("ffn.up");
    kernel.set_implementation("jit_1x1:avx2");
    return info;
  }
};

class FakeHealth final : public grpc::health::v1::Health::Service {
 public:
  using Response = grpc::health::v1::HealthCheckResponse;
  std::atomic<bool> serving = true;

  grpc::Status Check(grpc::ServerContext*, const grpc::health::v1::HealthCheckRequest* request,
                     Response* response) override {
    if (!request->service().empty()) return {grpc::StatusCode::NOT_FOUND, "unknown service"};
    response->set_status(serving ? Response::SERVING : Response::NOT_SERVING);
    return grpc::Status::OK;
  }
  // SERVING, then NOT_SERVING, then the end: a server that shuts down.
  grpc::Status Watch(grpc::ServerContext*, const grpc::health::v1::HealthCheckRequest*,
                     grpc::ServerWriter<Response>* writer) override {
    Response response;
    response.set_status(Response::SERVING);
    writer->Write(response);
    response.set_status(Response::NOT_SERVING);
    writer->Write(response);
    return grpc::Status::OK;
  }
};

class FakeServer {
 public:
  explicit FakeServer(const std::shared_ptr<grpc::ServerCredentials>& credentials =
                          grpc::InsecureServerCredentials()) {
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", credentials, &port);
    builder.RegisterService(&encoder);
    builder.RegisterService(&attention);
    builder.RegisterService(&models);
    builder.RegisterService(&classifier);
    builder.RegisterService(&rerank);
    builder.RegisterService(&fill_mask);
    builder.RegisterService(&answer);
    builder.RegisterService(&tokenizer);
    builder.RegisterService(&health);
    server_ = builder.BuildAndStart();
    target_ = "127.0.0.1:" + std::to_string(port);
  }
  ~FakeServer() { server_->Shutdown(std::chrono::system_clock::now()); }

  const std::string& target() const { return target_; }

  FakeEncoder encoder;
  FakeAttention attention;
  FakeModels models;
  FakeClassifier classifier;
  FakeRerank rerank;
  FakeFillMask fill_mask;
  FakeAnswer answer;
  FakeTokenizer tokenizer;
  FakeHealth health;

 private:
  std::unique_ptr<grpc::Server> server_;
  std::string target_;
};

}  // namespace attnd::client
