#include "server/validate/error.h"

#include <random>

#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/strip.h"
#include "core/base/strings.h"
#include "core/batch/limits.h"
#include "google/rpc/error_details.pb.h"

namespace attnd {
namespace {

// Payload URLs are the type URLs of google.protobuf.Any, so that details convert one to one.
constexpr std::string_view kTypePrefix = "type.googleapis.com/";
constexpr std::string_view kDomain = "attnd";
constexpr size_t kQuoteBytesMax = 64;

// Callers that were refused together should not come back together.
constexpr int kRetryMillisecondsMin = 100;
constexpr int kRetryMillisecondsMax = 1000;

template <typename Message>
std::string TypeUrl() {
  return StrCat(kTypePrefix, Message::descriptor()->full_name());
}

template <typename Message>
void Attach(absl::Status& status, const Message& message) {
  status.SetPayload(TypeUrl<Message>(), absl::Cord(message.SerializeAsString()));
}

template <typename Message>
bool Read(const absl::Status& status, Message& message) {
  const auto payload = status.GetPayload(TypeUrl<Message>());
  return payload.has_value() && message.ParseFromString(std::string(*payload));
}

int64_t RandomRetryMilliseconds() {
  thread_local std::minstd_rand random(std::random_device{}());
  return std::uniform_int_distribution<int>(kRetryMillisecondsMin, kRetryMillisecondsMax)(random);
}

}  // namespace

absl::StatusCode CodeOf(v1::ErrorReason reason) {
  switch (reason) {
    case v1::ERROR_REASON_MALFORMED_REQUEST:
    case v1::ERROR_REASON_INVALID_UTF8:
    case v1::ERROR_REASON_MISSING_FIELD:
    case v1::ERROR_REASON_INVALID_VALUE:
    case v1::ERROR_REASON_ID_OUT_OF_RANGE:
    case v1::ERROR_REASON_NOT_FINITE:
    case v1::ERROR_REASON_INVALID_SHAPE:
    case v1::ERROR_REASON_TOO_LONG:
    case v1::ERROR_REASON_OVER_LIMIT:
    case v1::ERROR_REASON_REPLY_TOO_LARGE:
    case v1::ERROR_REASON_DUPLICATE_ID:
      return absl::StatusCode::kInvalidArgument;
    case v1::ERROR_REASON_UNKNOWN_MODEL:
      return absl::StatusCode::kNotFound;
    case v1::ERROR_REASON_NOT_SUPPORTED_BY_MODEL:
      return absl::StatusCode::kFailedPrecondition;
    case v1::ERROR_REASON_QUEUE_FULL:
    case v1::ERROR_REASON_WAIT_TOO_LONG:
    case v1::ERROR_REASON_CALLER_LIMIT:
      return absl::StatusCode::kResourceExhausted;
    case v1::ERROR_REASON_UNAUTHENTICATED:
      return absl::StatusCode::kUnauthenticated;
    case v1::ERROR_REASON_DEADLINE_EXCEEDED:
      return absl::StatusCode::kDeadlineExceeded;
    case v1::ERROR_REASON_CANCELLED:
      return absl::StatusCode::kCancelled;
    case v1::ERROR_REASON_SHUTTING_DOWN:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kInternal;
  }
}

std::string ReasonName(v1::ErrorReason reason) {
  return std::string(absl::StripPrefix(v1::ErrorReason_Name(reason), "ERROR_REASON_"));
}

absl::Status Refuse(v1::ErrorReason reason, std::string_view field, std::string_view description) {
  const std::string prefix = field.empty() ? "" : StrCat(field, ": ");
  absl::Status status(CodeOf(reason), StrCat(prefix, description));

  google::rpc::ErrorInfo info;
  info.set_reason(ReasonName(reason));
  info.set_domain(std::string(kDomain));
  Attach(status, info);

  if (!field.empty()) {
    google::rpc::BadRequest bad_request;
    auto* violation = bad_request.add_field_violations();
    violation->set_field(std::string(field));
    violation->set_description(std::string(description));
    Attach(status, bad_request);
  }
  if (CodeOf(reason) == absl::StatusCode::kResourceExhausted) {
    google::rpc::RetryInfo retry;
    const int64_t milliseconds = RandomRetryMilliseconds();
    retry.mutable_retry_delay()->set_seconds(milliseconds / 1000);
    retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(milliseconds % 1000) * 1'000'000);
    Attach(status, retry);
  }
  return status;
}

absl::Status UnknownChoice(std::string_view field, int value) {
  return Refuse(v1::ERROR_REASON_INVALID_VALUE, StrCat("options.", field),
                StrCat(value, " is no value that this server knows"));
}

absl::Status WithReason(const absl::Status& status) {
  if (status.ok() || ErrorReasonOf(status) != v1::ERROR_REASON_UNSPECIFIED) return status;
  switch (status.code()) {
    case absl::StatusCode::kResourceExhausted:
      return Refuse(status.GetPayload(kWaitTooLong) || status.GetPayload(kNotInTime)
                        ? v1::ERROR_REASON_WAIT_TOO_LONG
                        : v1::ERROR_REASON_QUEUE_FULL,
                    "", ToStd(status.message()));
    case absl::StatusCode::kUnavailable:
      return Refuse(v1::ERROR_REASON_SHUTTING_DOWN, "", "the server is shutting down");
    case absl::StatusCode::kDeadlineExceeded:
      return Refuse(v1::ERROR_REASON_DEADLINE_EXCEEDED, "",
                    "the deadline passed before the request was computed");
    case absl::StatusCode::kCancelled:
      return Refuse(v1::ERROR_REASON_CANCELLED, "", "the call was cancelled");
    case absl::StatusCode::kNotFound:
      return status;
    default:
      return Refuse(v1::ERROR_REASON_INTERNAL, "", "internal error; the server's log has more");
  }
}

v1::ErrorReason ErrorReasonOf(const absl::Status& status) {
  google::rpc::ErrorInfo info;
  v1::ErrorReason reason = v1::ERROR_REASON_UNSPECIFIED;
  if (Read(status, info)) {
    v1::ErrorReason_Parse(StrCat("ERROR_REASON_", info.reason()), &reason);
  }
  return reason;
}

google::rpc::Status ToProto(const absl::Status& status) {
  google::rpc::Status proto;
  proto.set_code(static_cast<int32_t>(status.code()));
  proto.set_message(std::string(status.message()));
  status.ForEachPayload([&](auto type_url, const absl::Cord& payload) {
    auto* detail = proto.add_details();
    detail->set_type_url(std::string(type_url));
    detail->set_value(std::string(payload));
  });
  return proto;
}

int64_t RetryDelayMilliseconds(const absl::Status& status) {
  google::rpc::RetryInfo retry;
  if (!Read(status, retry)) return 0;
  return retry.retry_delay().seconds() * 1000 + retry.retry_delay().nanos() / 1'000'000;
}

std::string Quote(std::string_view name) {
  const bool cut = name.size() > kQuoteBytesMax;
  return StrCat("\"", absl::CHexEscape(ToAbsl(name.substr(0, kQuoteBytesMax))), cut ? "..." : "",
                "\"");
}

}  // namespace attnd
