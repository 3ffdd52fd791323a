#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "attnd/v1/attention.pb.h"
#include "attnd/v1/model.pb.h"
#include "client/types.h"
#include "grpcpp/support/status.h"

// Between client/types.h and the generated messages. For the client's own files: programs need
// client/client.h only (and convert_*.h hold the rest). A reply is checked like any other input:
// shapes and bytes that disagree are kInternal, never a wild read.
namespace attnd::client {

// `details` is a serialized google.rpc.Status, which may be empty; its details become payloads.
absl::Status WithDetails(int32_t code, const std::string& message, const std::string& details);
absl::Status FromGrpc(const grpc::Status& status);

v1::AttendRequest ToProto(const AttendRequest& request);
v1::SelfAttentionRequest ToProto(const SelfAttentionRequest& request);

absl::StatusOr<AttendReply> FromProto(const v1::AttendResponse& response);
absl::StatusOr<SelfAttentionReply> FromProto(const v1::SelfAttentionResponse& response);
ModelInfo FromProto(const v1::ModelInfo& info);

}  // namespace attnd::client
