#include "client/client.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "attnd/v1/attention.grpc.pb.h"
#include "attnd/v1/encoder.grpc.pb.h"
#include "attnd/v1/model.grpc.pb.h"
#include "client/channel.h"
#include "client/convert.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/grpcpp.h"

namespace attnd::client {
namespace {

namespace health = grpc::health::v1;

ServingStatus FromProto(health::HealthCheckResponse::ServingStatus status) {
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

}  // namespace

struct Client::Connection {
  explicit Connection(ConnectOptions connect_options)
      : options(std::move(connect_options)),
        channel(OpenChannel({.target = options.target,
                             .reply_bytes_max = options.reply_bytes_max,
                             .sharing = ConnectionSharing::kShared})),
        encoder(v1::EncoderService::NewStub(channel)),
        attention(v1::AttentionService::NewStub(channel)),
        model(v1::ModelService::NewStub(channel)),
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
  if (response.encodings_size() != static_cast<int>(inputs.size())) {
    return absl::InternalError(absl::StrCat("the reply has ", response.encodings_size(),
                                            " encodings for ", inputs.size(), " inputs"));
  }
  return client::FromProto(response);
}

std::unique_ptr<EncodeStream> Client::OpenEncodeStream(const StreamOptions& options) const {
  return EncodeStream::Open(connection_->channel, options);
}

absl::StatusOr<AttendReply> Client::Attend(const AttendRequest& request) const {
  v1::AttendResponse response;
  absl::Status status = connection_->Call(
      *connection_->attention, &v1::AttentionService::Stub::Attend, ToProto(request), response);
  if (!status.ok()) return status;
  return client::FromProto(response);
}

absl::StatusOr<SelfAttentionReply> Client::SelfAttention(
    const SelfAttentionRequest& request) const {
  v1::SelfAttentionResponse response;
  absl::Status status =
      connection_->Call(*connection_->attention, &v1::AttentionService::Stub::SelfAttention,
                        ToProto(request), response);
  if (!status.ok()) return status;
  return client::FromProto(response);
}

absl::StatusOr<std::vector<ModelInfo>> Client::ListModels() const {
  v1::ListModelsResponse response;
  absl::Status status = connection_->Call(*connection_->model, &v1::ModelService::Stub::ListModels,
                                          v1::ListModelsRequest(), response);
  if (!status.ok()) return status;
  std::vector<ModelInfo> models;
  for (const v1::ModelInfo& info : response.models()) models.push_back(client::FromProto(info));
  return models;
}

absl::StatusOr<ModelInfo> Client::GetModel(std::string_view name) const {
  v1::GetModelRequest request;
  request.set_model(std::string(name));
  v1::GetModelResponse response;
  absl::Status status =
      connection_->Call(*connection_->model, &v1::ModelService::Stub::GetModel, request, response);
  if (!status.ok()) return status;
  return client::FromProto(response.model());
}

absl::StatusOr<ServingStatus> Client::Health(std::string_view service) const {
  health::HealthCheckRequest request;
  request.set_service(std::string(service));
  health::HealthCheckResponse response;
  absl::Status status = connection_->Call(*connection_->health_service,
                                          &health::Health::Stub::Check, request, response);
  if (absl::IsNotFound(status)) return ServingStatus::kServiceUnknown;
  if (!status.ok()) return status;
  return FromProto(response.status());
}

absl::Status Client::WatchHealth(std::string_view service,
                                 const std::function<bool(ServingStatus)>& changed) const {
  health::HealthCheckRequest request;
  request.set_service(std::string(service));
  grpc::ClientContext context;
  const auto reader = connection_->health_service->Watch(&context, request);
  health::HealthCheckResponse response;
  while (reader->Read(&response)) {
    if (changed(FromProto(response.status()))) continue;
    context.TryCancel();
    reader->Finish();  // CANCELLED, by us.
    return absl::OkStatus();
  }
  return FromGrpc(reader->Finish());
}

}  // namespace attnd::client
