#include "tests/outputs/served_encoder.h"

#include <utility>

#include "attnd/v1/encoder.grpc.pb.h"
#include "core/base/status_macros.h"
#include "grpcpp/grpcpp.h"
#include "tests/served/attnd_process.h"

namespace attnd::testing {

struct ServedEncoder::Parts {
  std::unique_ptr<AttndProcess> process;
  std::unique_ptr<v1::EncoderService::Stub> stub;
};

ServedEncoder::ServedEncoder(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
ServedEncoder::~ServedEncoder() = default;

absl::StatusOr<std::unique_ptr<ServedEncoder>> ServedEncoder::Start(const std::string& model) {
  auto parts = std::make_unique<Parts>();
  ASSIGN_OR_RETURN(parts->process, AttndProcess::Start({.model = model}));
  parts->stub = v1::EncoderService::NewStub(
      grpc::CreateChannel(parts->process->target(), grpc::InsecureChannelCredentials()));
  return std::unique_ptr<ServedEncoder>(new ServedEncoder(std::move(parts)));
}

absl::StatusOr<v1::EncodeResponse> ServedEncoder::Encode(const v1::EncodeRequest& request) {
  grpc::ClientContext context;
  v1::EncodeResponse response;
  const grpc::Status status = parts_->stub->Encode(&context, request, &response);
  if (status.ok()) return response;
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

}  // namespace attnd::testing
