#pragma once

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace attnd {

// Calls `part` once for each index in [0, count), on the caller and up to `threads` - 1 other
// threads, which end before this returns. In which order, chance decides. The error of the lowest
// index that has one, whatever the order; parts above it may have been left out. For a start, not
// for a request: it makes threads.
absl::Status ParallelFor(int64_t count, int threads, absl::FunctionRef<absl::Status(int64_t)> part);

}  // namespace attnd
