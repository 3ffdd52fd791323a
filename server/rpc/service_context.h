#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "core/batch/engine.h"
#include "server/observe/metrics.h"
#include "server/validate/limits.h"
#include "server/validate/served_model.h"
#include "spdlog/logger.h"

namespace attnd {

// Bytes of one request, counted among those of all while this lives.
class HeldBytes {
 public:
  HeldBytes(std::atomic<int64_t>& total, int64_t bytes) : total_(total), bytes_(bytes) {
    total_ += bytes_;
  }
  ~HeldBytes() { total_ -= bytes_; }
  HeldBytes(const HeldBytes&) = delete;
  HeldBytes& operator=(const HeldBytes&) = delete;

 private:
  std::atomic<int64_t>& total_;
  const int64_t bytes_;
};

// What all services share. It outlives the gRPC server.
struct ServiceContext {
  const ServedModel& model;
  const Limits& limits;
  Engine& engine;
  Metrics& metrics;
  spdlog::logger& log;
  std::atomic<int64_t>& held_bytes;  // Of all requests, from their plan to their end.

  // Whether there is no room for another request. Asked before a request's size is known, so that
  // the last one may go over the limit.
  bool IsFull() const { return held_bytes >= limits.held_bytes; }
};

}  // namespace attnd
