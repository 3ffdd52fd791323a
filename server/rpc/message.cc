#include "server/rpc/message.h"

#include <algorithm>
#include <vector>

#include "core/base/strings.h"
#include "grpcpp/impl/codegen/proto_utils.h"
#include "server/validate/error.h"
#include "server/validate/wire.h"

namespace attnd {

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  bytes.reserve(buffer.Length());
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

absl::Status ParseMessage(const grpc::ByteBuffer& bytes, const Limits& limits,
                          google::protobuf::Message& message) {
  if (static_cast<int64_t>(bytes.Length()) > limits.message_bytes) {
    return Refuse(v1::ERROR_REASON_OVER_LIMIT, "",
                  StrCat("the request's ", bytes.Length(), " bytes are more than the limit of ",
                         limits.message_bytes, " (message-bytes)"));
  }
  grpc::ByteBuffer copy = bytes;  // Shares the slices; Deserialize empties what it reads.
  if (grpc::GenericDeserialize<grpc::ProtoBufferReader, google::protobuf::Message>(&copy, &message)
          .ok()) {
    return absl::OkStatus();
  }
  return ExplainParseFailure(BytesOf(bytes), *message.GetDescriptor());
}

grpc::ByteBuffer SerializeMessage(const google::protobuf::Message& message) {
  grpc::Slice slice(message.ByteSizeLong());
  message.SerializeWithCachedSizesToArray(const_cast<uint8_t*>(slice.begin()));
  return grpc::ByteBuffer(&slice, 1);
}

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()),
                      ToProto(status).SerializeAsString());
}

Clock::time_point JobDeadline(std::chrono::system_clock::time_point deadline,
                              const Limits& limits) {
  using std::chrono::system_clock;
  std::chrono::nanoseconds remaining = limits.default_deadline;
  if (deadline != system_clock::time_point::max()) {
    // Compared before it is converted: a far deadline would overflow.
    const system_clock::time_point now = system_clock::now();
    remaining = deadline > now + limits.deadline_cap ? limits.deadline_cap
                                                     : std::chrono::nanoseconds(deadline - now);
  }
  return Clock::now() + std::min(remaining, limits.deadline_cap);
}

bool IsExpired(std::chrono::system_clock::time_point deadline,
               std::chrono::system_clock::time_point started,
               std::chrono::system_clock::time_point now) {
  if (deadline == std::chrono::system_clock::time_point::max()) return false;
  constexpr std::chrono::milliseconds kOnItsWay(10);
  return now + kOnItsWay + (deadline - started) / 100 >= deadline;
}

}  // namespace attnd
