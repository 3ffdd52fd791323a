#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "google/protobuf/descriptor.h"

namespace attnd {

bool IsUtf8(std::string_view text);

// Why `bytes`, which protobuf refused to parse as a message of this type, are none: INVALID_UTF8
// with the path of the first text that isn't UTF-8, else MALFORMED_REQUEST. The parser itself says
// only that it failed.
absl::Status ExplainParseFailure(std::string_view bytes, const google::protobuf::Descriptor& type);

// The last value of a string or bytes field at the top level of a message that may be broken behind
// it. nullopt if there is none.
std::optional<std::string> FindField(std::string_view bytes, int number);

}  // namespace attnd
