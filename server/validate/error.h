#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "attnd/v1/error.pb.h"
#include "google/rpc/status.pb.h"

namespace attnd {

// The status code that goes with a reason: each reason has exactly one.
absl::StatusCode CodeOf(v1::ErrorReason reason);

// "QUEUE_FULL" of ERROR_REASON_QUEUE_FULL: what ErrorInfo.reason and the metrics' labels say.
std::string ReasonName(v1::ErrorReason reason);

// A Status with a reason: google.rpc.ErrorInfo, and BadRequest where a field is to blame, travel in
// its payloads. `field` is a path such as "inputs[3].token_ids.ids[7]", or empty. The message reads
// "field: description"; it names value and limit, and never holds a caller's text.
absl::Status Refuse(v1::ErrorReason reason, std::string_view field, std::string_view description);

// INVALID_VALUE for an enum's value that this server does not know, in `options.FIELD`.
absl::Status UnknownChoice(std::string_view field, int value);

// Gives statuses without a reason, which are the engine's, theirs. What the engine says about a
// failure of its own is not for callers: it becomes kInternal, and a message without details.
// kNotFound stays as it is: grpc.health.v1 asks for it, and has no reasons.
absl::Status WithReason(const absl::Status& status);

// The reason in the Status's payload; UNSPECIFIED if there is none.
v1::ErrorReason ErrorReasonOf(const absl::Status& status);

// The whole Status with its details, as gRPC's `grpc-status-details-bin` holds it.
google::rpc::Status ToProto(const absl::Status& status);

// The milliseconds that a refused caller is asked to wait (RetryInfo); 0 if the Status has none.
int64_t RetryDelayMilliseconds(const absl::Status& status);

// At most 64 bytes of a caller's name, escaped, in quotes: fit for a message or a log line.
std::string Quote(std::string_view name);

}  // namespace attnd
