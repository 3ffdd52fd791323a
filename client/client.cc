#include "client/client.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "attnd/v1/answer.grpc.pb.h"
#include "attnd/v1/attention.grpc.pb.h"
#include "attnd/v1/classifier.grpc.pb.h"
#include "attnd/v1/encoder.grpc.pb.h"
#include "attnd/v1/fill_mask.grpc.pb.h"
#include "attnd/v1/model.grpc.pb.h"
#include "attnd/v1/rerank.grpc.pb.h"
#include "attnd/v1/tokenizer.grpc.pb.h"
#include "client/channel.h"
#include "client/convert.h"
#include "client/convert_encode.h"
#include "client/convert_heads.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/grpcpp.h"

namespace attnd::client {
namespace {

namespace health = grpc::health::v1;

ServingStatus ReadStatus(health::HealthCheckResponse::ServingStatus status) {
  switch (status) {
    case health::HealthCheckResponse::SERVING:
      return ServingStatus::kServing;
    case health::HealthCheckResponse::NOT_SERVING:
      return ServingStatus::kNotServing;
    case health::HealthCheckResponse::SERVICE_UNKNOWN:
      return ServingStatus::kServiceUnknown;
    default:
      return ServingStatus::kUnknown;
  }
}

// All inputs or none: a reply of another number would give an input another's answer.
absl::Status CheckCount(int count, size_t asked, const char* things) {
  if (static_cast<size_t>(count) == asked) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("the reply has ", count, " ", things, " where ", asked, " were asked for"));
}

}  // namespace

struct Client::Connection {
  explicit Connection(ConnectOptions connect_options)
      : options(std::move(connect_options)),
        channel(OpenChannel({.target = options.target,
                             .tls = options.tls,
                             .reply_bytes_max = options.reply_bytes_max,
                             .sharing = ConnectionSharing::kShared,
                             .api_key = options.api_key})),
        encoder(v1::EncoderService::NewStub(channel)),
        attention(v1::AttentionService::NewStub(channel)),
        model(v1::ModelService::NewStub(channel)),
        classifier(v1::ClassifierService::NewStub(channel)),
        rerank(v1::RerankService::NewStub(channel)),
        fill_mask(v1::FillMaskService::NewStub(channel)),
        answer(v1::AnswerService::NewStub(channel)),
        tokenizer(v1::TokenizerService::NewStub(channel)),
        health_service(health::Health::NewStub(channel)) {}

  // One unary call: `method` of `stub`, within the deadline.
  template <typename Stub, typename Request, typename Response>
  absl::Status Call(Stub& stub,
                    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response& response) const {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + options.deadline);
    return FromGrpc((stub.*method)(&context, request, &response));
  }

  ConnectOptions options;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::EncoderService::Stub> encoder;
  std::unique_ptr<v1::AttentionService::Stub> attention;
  std::unique_ptr<v1::ModelService::Stub> model;
  std::unique_ptr<v1::ClassifierService::Stub> classifier;
  std::unique_ptr<v1::RerankService::Stub> rerank;
  std::unique_ptr<v1::FillMaskService::Stub> fill_mask;
  std::unique_ptr<v1::AnswerService::Stub> answer;
  std::unique_ptr<v1::TokenizerService::Stub> tokenizer;
  std::unique_ptr<health::Health::Stub> health_service;
};

Client::Client(ConnectOptions options)
    : connection_(std::make_unique<Connection>(std::move(options))) {}
Client::~Client() = default;
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;

absl::Status Client::WaitForConnection(std::chrono::milliseconds time_max) const {
  if (connection_->channel->WaitForConnected(std::chrono::system_clock::now() + time_max)) {
    return absl::OkStatus();
  }
  return absl::UnavailableError(absl::StrCat("no connection to ", connection_->options.target,
                                             " within ", time_max.count(), " ms"));
}

absl::StatusOr<EncodeReply> Client::Encode(const std::vector<Input>& inputs,
                                           const EncodeOptions& options) const {
  v1::EncodeResponse response;
  absl::Status status = connection_->Call(*connection_->encoder, &v1::EncoderService::Stub::Encode,
                                          ToProto(inputs, options), response);
  if (!status.ok()) return status;
  status = CheckCount(response.encodings_size(), inputs.size(), "encodings");
  if (!status.ok()) return status;
  return FromProto(response);
}

std::unique_ptr<EncodeStream> Client::OpenEncodeStream(const StreamOptions& options) const {
  return EncodeStream::Open(connection_->channel, options);
}

absl::StatusOr<SimilarityReply> Client::Similarity(const std::vector<Input>& sources,
                                                   const std::vector<Input>& targets,
                                                   const EncodeOptions& options) const {
  v1::SimilarityResponse response;
  absl::Status status =
      connection_->Call(*connection_->encoder, &v1::EncoderService::Stub::Similarity,
                        ToProto(sources, targets, options), response);
  if (!status.ok()) return status;
  auto reply = FromProto(response);
  if (!reply.ok()) return reply.status();
  const size_t columns = targets.empty() ? sources.size() : targets.size();
  const std::vector<int64_t> shape = {static_cast<int64_t>(sources.size()),
                                      static_cast<int64_t>(columns)};
  if (reply->similarities.shape != shape) {
    return absl::InternalError("the reply's similarities are not [sources, targets]");
  }
  return reply;
}

absl::StatusOr<ClassifyReply> Client::Classify(const std::vector<Input>& inputs,
                                               const ClassifyOptions& options) const {
  v1::ClassifyResponse response;
  absl::Status status =
      connection_->Call(*connection_->classifier, &v1::ClassifierService::Stub::Classify,
                        ToProto(inputs, options), response);
  if (status.ok())
    status = CheckCount(response.classifications_size(), inputs.size(), "classifications");
  if (!status.ok()) return status;
  return FromProto(response);
}

absl::StatusOr<ClassifyTokensReply> Client::ClassifyTokens(
    const std::vector<Input>& inputs, const ClassifyTokensOptions& options) const {
  v1::ClassifyTokensResponse response;
  absl::Status status =
      connection_->Call(*connection_->classifier, &v1::ClassifierService::Stub::ClassifyTokens,
                        ToProto(inputs, options), response);
  if (status.ok())
    status = CheckCount(response.classifications_size(), inputs.size(), "classifications");
  if (!status.ok()) return status;
  return FromProto(response);
}

absl::StatusOr<RerankReply> Client::Rerank(std::string_view query,
                                           const std::vector<std::string>& documents,
                                           const RerankOptions& options) const {
  v1::RerankResponse response;
  absl::Status status = connection_->Call(*connection_->rerank, &v1::RerankService::Stub::Rerank,
                                          ToProto(query, documents, options), response);
  if (!status.ok()) return status;
  for (const v1::RankedDocument& result : response.results()) {
    if (result.index() < 0 || static_cast<size_t>(result.index()) >= documents.size()) {
      return absl::InternalError(
          absl::StrCat("the reply ranks document ", result.index(), " of ", documents.size()));
    }
  }
  return FromProto(response);
}

absl::StatusOr<FillMaskReply> Client::FillMask(const std::vector<Input>& inputs,
                                               const FillMaskOptions& options) const {
  v1::FillMaskResponse response;
  absl::Status status =
      connection_->Call(*connection_->fill_mask, &v1::FillMaskService::Stub::FillMask,
                        ToProto(inputs, options), response);
  if (status.ok()) status = CheckCount(response.inputs_size(), inputs.size(), "filled inputs");
  if (!status.ok()) return status;
  return FromProto(response);
}

absl::StatusOr<AnswerReply> Client::Answer(const std::vector<Question>& questions,
                                           const AnswerOptions& options) const {
  v1::AnswerResponse response;
  absl::Status status = connection_->Call(*connection_->answer, &v1::AnswerService::Stub::Answer,
                                          ToProto(questions, options), response);
  if (status.ok()) status = CheckCount(response.questions_size(), questions.size(), "questions");
  if (!status.ok()) return status;
  return FromProto(response);
}

absl::StatusOr<TokenizeReply> Client::Tokenize(const std::vector<Input>& inputs,
                                               const TokenizeOptions& options) const {
  v1::TokenizeResponse response;
  absl::Status status =
      connection_->Call(*connection_->tokenizer, &v1::TokenizerService::Stub::Tokenize,
                        ToProto(inputs, options), response);
  if (status.ok())
    status = CheckCount(response.tokenizations_size(), inputs.size(), "tokenizations");
  if (!status.ok()) return status;
  return FromProto(response);
}

absl::StatusOr<DetokenizeReply> Client::Detokenize(const std::vector<TokenIds>& inputs,
                                                   const DetokenizeOptions& options) const {
  v1::DetokenizeResponse response;
  absl::Status status =
      connection_->Call(*connection_->tokenizer, &v1::TokenizerService::Stub::Detokenize,
                        ToProto(inputs, options), response);
  if (status.ok()) status = CheckCount(response.texts_size(), inputs.size(), "texts");
  if (!status.ok()) return status;
  return FromProto(response);
}

absl::StatusOr<AttendReply> Client::Attend(const AttendRequest& request) const {
  v1::AttendResponse response;
  absl::Status status = connection_->Call(
      *connection_->attention, &v1::AttentionService::Stub::Attend, ToProto(request), response);
  if (!status.ok()) return status;
  return FromProto(response);
}

absl::StatusOr<SelfAttentionReply> Client::SelfAttention(
    const SelfAttentionRequest& request) const {
  v1::SelfAttentionResponse response;
  absl::Status status =
      connection_->Call(*connection_->attention, &v1::AttentionService::Stub::SelfAttention,
                        ToProto(request), response);
  if (!status.ok()) return status;
  return FromProto(response);
}

absl::StatusOr<std::vector<ModelInfo>> Client::ListModels() const {
  v1::ListModelsResponse response;
  absl::Status status = connection_->Call(*connection_->model, &v1::ModelService::Stub::ListModels,
                                          v1::ListModelsRequest(), response);
  if (!status.ok()) return status;
  std::vector<ModelInfo> models;
  for (const v1::ModelInfo& info : response.models()) models.push_back(FromProto(info));
  return models;
}

absl::StatusOr<ModelInfo> Client::GetModel(std::string_view name) const {
  v1::GetModelRequest request;
  request.set_model(std::string(name));
  v1::GetModelResponse response;
  absl::Status status =
      connection_->Call(*connection_->model, &v1::ModelService::Stub::GetModel, request, response);
  if (!status.ok()) return status;
  return FromProto(response.model());
}

absl::StatusOr<ServingStatus> Client::Health(std::string_view service) const {
  health::HealthCheckRequest request;
  request.set_service(std::string(service));
  health::HealthCheckResponse response;
  absl::Status status = connection_->Call(*connection_->health_service,
                                          &health::Health::Stub::Check, request, response);
  if (absl::IsNotFound(status)) return ServingStatus::kServiceUnknown;
  if (!status.ok()) return status;
  return ReadStatus(response.status());
}

absl::Status Client::WatchHealth(std::string_view service,
                                 const std::function<bool(ServingStatus)>& changed) const {
  health::HealthCheckRequest request;
  request.set_service(std::string(service));
  grpc::ClientContext context;
  const auto reader = connection_->health_service->Watch(&context, request);
  health::HealthCheckResponse response;
  while (reader->Read(&response)) {
    if (changed(ReadStatus(response.status()))) continue;
    context.TryCancel();
    reader->Finish();  // CANCELLED, by us.
    return absl::OkStatus();
  }
  return FromGrpc(reader->Finish());
}

}  // namespace attnd::client
