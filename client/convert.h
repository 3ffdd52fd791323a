#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "attnd/v1/attention.pb.h"
#include "attnd/v1/encoder.pb.h"
#include "attnd/v1/model.pb.h"
#include "client/types.h"
#include "grpcpp/support/status.h"

// Between client/types.h and the generated messages. For the client's own files: programs need
// client/client.h only. A reply is checked like any other input: shapes and bytes that disagree are
// kInternal, never a wild read.
namespace attnd::client {

// `details` is a serialized google.rpc.Status, which may be empty; its details become payloads.
absl::Status WithDetails(int32_t code, const std::string& message, const std::string& details);
absl::Status FromGrpc(const grpc::Status& status);

v1::Tensor ToProto(const Tensor& tensor);
v1::Tensor ToProto(const BoolTensor& tensor);
v1::EncodeRequest ToProto(const std::vector<Input>& inputs, const EncodeOptions& options);
v1::AttendRequest ToProto(const AttendRequest& request);
v1::SelfAttentionRequest ToProto(const SelfAttentionRequest& request);

absl::StatusOr<Tensor> FromProto(const v1::Tensor& tensor);
absl::StatusOr<Encoding> FromProto(const v1::Encoding& encoding);
absl::StatusOr<EncodeReply> FromProto(const v1::EncodeResponse& response);
absl::StatusOr<AttendReply> FromProto(const v1::AttendResponse& response);
absl::StatusOr<SelfAttentionReply> FromProto(const v1::SelfAttentionResponse& response);
ModelInfo FromProto(const v1::ModelInfo& info);

}  // namespace attnd::client
