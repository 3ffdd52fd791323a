#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "absl/status/statusor.h"
#include "client/types.h"

// JSON for `attnctl attend`: tensors as nested arrays, the fields named as in attention.proto.
// Numbers that JSON lacks are the strings "inf", "-inf" and "nan".
namespace attnd::client {

// An object with "query", "key" and "value" (nested 4 deep, or less: leading dimensions of 1 are
// added) is an AttendRequest, one with "input", "w_q", "w_k", "w_v" and "w_o" a
// SelfAttentionRequest. Errors name the field.
absl::StatusOr<std::variant<AttendRequest, SelfAttentionRequest>> ParseAttention(
    std::string_view text);

// {"output": ..., "weights": ...}, in one line.
std::string FormatAttention(const AttendReply& reply);
std::string FormatAttention(const SelfAttentionReply& reply);

// Three tokens that look at each other: a small question to try the operation with.
AttendRequest DemoAttention();

}  // namespace attnd::client
