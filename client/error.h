#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"

// What a failed call says besides its code and message. attnd sends a google.rpc.ErrorInfo and,
// where fields are to blame, a google.rpc.BadRequest with each error; the client keeps both as
// payloads of the absl::Status.
namespace attnd::client {

struct FieldViolation {
  std::string field;  // "inputs[2].token_ids.ids".
  std::string description;
};

// The name of an attnd.v1.ErrorReason without its prefix ("TOO_LONG"), which programs may rely on;
// empty if the error did not come from attnd (no connection, for one).
std::string ErrorReason(const absl::Status& status);

std::vector<FieldViolation> FieldViolations(const absl::Status& status);

}  // namespace attnd::client
