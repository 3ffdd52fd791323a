#pragma once

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "core/batch/job.h"
#include "google/protobuf/message.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/status.h"
#include "server/validate/limits.h"

namespace attnd {

// Parses a request. Errors say why not: gRPC's own parsing would answer UNIMPLEMENTED with no
// message. The size is checked first.
absl::Status ParseMessage(const grpc::ByteBuffer& bytes, const Limits& limits,
                          google::protobuf::Message& message);

std::string BytesOf(const grpc::ByteBuffer& buffer);
grpc::ByteBuffer SerializeMessage(const google::protobuf::Message& message);

// With code, message and, as `grpc-status-details-bin`, all details.
grpc::Status ToGrpc(const absl::Status& status);

// When a call's work is to be dropped: at its own deadline, but no later than the cap; after the
// default time when the client set none.
Clock::time_point JobDeadline(std::chrono::system_clock::time_point deadline, const Limits& limits);

// Whether a call that began at `started`, and that gRPC cancels now, ended by its deadline: gRPC
// says "cancelled" for that too. A client's deadline ends the call up to a hundredth of its time,
// by which gRPC rounds it up on the wire, and the message's way before the server's.
bool IsExpired(std::chrono::system_clock::time_point deadline,
               std::chrono::system_clock::time_point started,
               std::chrono::system_clock::time_point now);

}  // namespace attnd
