#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/auth/caller.h"
#include "server/auth/key_digest.h"

namespace attnd {

inline constexpr size_t kKeyFileCallersMax = 256;
inline constexpr size_t kKeysOfCallerMax = 8;
inline constexpr size_t kCallerNameBytesMax = 64;
inline constexpr int32_t kCallerRequestsMax = 1 << 20;

// What callers are counted as that were not in the key file at the start; no caller's name.
inline constexpr std::string_view kOtherCallers = "other";

// One caller of a key file.
struct CallerKeys {
  std::string name;
  std::vector<KeyDigest> digests;           // At least one.
  int32_t requests_max = Caller::kNoLimit;  // In flight at once.
};

// Reads the text of a key file:
//
//   {"callers": [
//     {"name": "search", "key_sha256": ["<64 hexadecimal digits>"]},
//     {"name": "batch", "key_sha256": ["<...>", "<...>"], "requests_in_flight_max": 8}
//   ]}
//
// A name is 1 to 64 letters, digits, '-', '_' and '.', once in the file, and not "other". Of
// `key_sha256` there are 1 to 8, each once in the file: a caller with two can change from one key
// to the other at leisure. `requests_in_flight_max`, 1 to 1,048,576, may be left out: no limit. An
// empty list of callers lets nobody call. What is not named here is refused.
//
// Errors name the place and never quote the text, for somebody might have put a key there.
absl::StatusOr<std::vector<CallerKeys>> ParseCallerKeys(std::string_view text);

}  // namespace attnd
