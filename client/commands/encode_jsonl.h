#pragma once

#include <cstdint>
#include <istream>
#include <ostream>

#include "absl/status/statusor.h"
#include "client/client.h"
#include "client/ordered_encode.h"

namespace attnd::client {

struct JsonlCounts {
  int64_t lines = 0;
  int64_t errors = 0;
};

// Encodes each line of `in` and writes one line each to `out`, in order (client/commands/jsonl.h).
// Blank lines are errors like any line that is no JSON object, so that line n of the output always
// answers line n of the input. Lines are pipelined, `options.window` at most, and one longer than
// kJsonlLineBytesMax is an error line. Fails only if `out` cannot be written.
absl::StatusOr<JsonlCounts> EncodeJsonl(const Client& client, const OrderedEncodeOptions& options,
                                        std::istream& in, std::ostream& out);

// No text in a longer line would fit into a request.
constexpr size_t kJsonlLineBytesMax = size_t{8} * 1024 * 1024;

}  // namespace attnd::client
