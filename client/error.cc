#include "client/error.h"

#include <optional>

#include "absl/strings/cord.h"
#include "client/convert.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace attnd::client {
namespace {

template <typename Message>
std::optional<Message> Payload(const absl::Status& status) {
  const std::string url = "type.googleapis.com/" + Message::descriptor()->full_name();
  const auto payload = status.GetPayload(url);
  Message message;
  if (!payload.has_value() || !message.ParseFromString(std::string(*payload))) return std::nullopt;
  return message;
}

// A message from the server could carry any number of bytes, and a reader any terminal.
constexpr size_t kDetailsMax = 32;

}  // namespace

absl::Status WithDetails(int32_t code, const std::string& message, const std::string& details) {
  // google.rpc.Code and absl::StatusCode share their numbers; others become kUnknown.
  absl::Status status(static_cast<absl::StatusCode>(code), message);
  google::rpc::Status parsed;
  if (details.empty() || !parsed.ParseFromString(details)) return status;
  size_t kept = 0;
  for (const auto& detail : parsed.details()) {
    if (++kept > kDetailsMax) break;
    status.SetPayload(detail.type_url(), absl::Cord(detail.value()));
  }
  return status;
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  return WithDetails(status.error_code(), status.error_message(), status.error_details());
}

std::string ErrorReason(const absl::Status& status) {
  const auto info = Payload<google::rpc::ErrorInfo>(status);
  return info.has_value() ? info->reason() : std::string();
}

std::vector<FieldViolation> FieldViolations(const absl::Status& status) {
  std::vector<FieldViolation> violations;
  const auto bad_request = Payload<google::rpc::BadRequest>(status);
  if (!bad_request.has_value()) return violations;
  for (const auto& violation : bad_request->field_violations()) {
    violations.push_back({.field = violation.field(), .description = violation.description()});
  }
  return violations;
}

}  // namespace attnd::client
