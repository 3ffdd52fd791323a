#pragma once

#include <exception>

#include "absl/status/status.h"

namespace attnd {

// Runs what is not ours to trust: an exception becomes kInternal here, and goes no further.
template <typename Function>
absl::Status Guarded(Function function) {
  try {
    return function();
  } catch (const std::exception& error) {
    return absl::InternalError(error.what());
  } catch (...) {
    return absl::InternalError("an exception of unknown type");
  }
}

}  // namespace attnd
