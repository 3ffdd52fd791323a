#pragma once

#include <exception>
#include <typeinfo>

#include "absl/status/status.h"
#include "spdlog/logger.h"

namespace attnd {

// What `step` returns; kInternal if it throws, which is logged by its type alone: its text may hold
// what the caller sent. gRPC's threads must see no exception.
template <typename Step>
absl::Status Guarded(spdlog::logger& log, const Step& step) {
  try {
    return step();
  } catch (const std::exception& error) {
    log.error("a handler threw {}", typeid(error).name());
    return absl::InternalError("a handler threw");
  }
}

}  // namespace attnd
