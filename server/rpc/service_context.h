#pragma once

#include <memory>

#include "core/batch/engine.h"
#include "server/observe/metrics.h"
#include "server/validate/limits.h"
#include "server/validate/served_model.h"
#include "spdlog/logger.h"

namespace attnd {

// What all services share. It outlives the gRPC server.
struct ServiceContext {
  const ServedModel& model;
  const Limits& limits;
  Engine& engine;
  Metrics& metrics;
  spdlog::logger& log;
};

}  // namespace attnd
