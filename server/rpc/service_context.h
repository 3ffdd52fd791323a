#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/batch/engine.h"
#include "core/batch/result_cache.h"
#include "server/auth/keyring.h"
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

// A model with what is its own: its limits, its queue, its metrics.
struct ModelContext {
  const ServedModel served;
  const Limits limits;  // Those of the server, but for its queue and its batches.
  const double weight;  // Of its lane.
  const int lane;       // In the engine.
  ModelMetrics& metrics;
};

// What all services share. It outlives the gRPC server.
struct ServiceContext {
  const std::vector<ModelContext>& models;  // At least one; a request that names none is for the
                                            // first.
  const Limits& limits;                     // Of what no model is asked for.
  Engine& engine;
  const int attention_lane;  // For operations that need no model.
  Metrics& metrics;
  spdlog::logger& log;
  std::atomic<int64_t>& held_bytes;  // Of all requests, from their plan to their end.
  // Whether equal inputs in flight are computed once.
  const bool share_identical;
  ResultCache* const cache;  // Null: results are not kept.
  // The keys that calls need; null: none do.
  const Keyring* const keyring = nullptr;

  // UNKNOWN_MODEL, naming those that are served.
  absl::StatusOr<const ModelContext*> FindModel(std::string_view name) const;

  // Whether there is no room for another request. Asked before a request's size is known, so that
  // the last one may go over the limit.
  bool IsFull() const { return held_bytes >= limits.held_bytes; }
};

}  // namespace attnd
