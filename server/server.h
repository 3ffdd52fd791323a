#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "core/batch/job.h"
#include "core/batch/limits.h"
#include "server/config.h"
#include "server/validate/limits.h"
#include "server/validate/served_model.h"
#include "spdlog/logger.h"

namespace attnd {

// A model to be served. What its functions refer to must outlive the server.
struct ModelEntry {
  ServedModel model;
  ExecutorFactory executors;
  Limits limits;  // The server's, but for its own queue and batches.
  double weight = 1;
};

// Everything that runs, in the order in which it is made: metrics, engine, services, gRPC server;
// taken down in reverse. Shutting down is SetNotServing, a while of serving on, then Drain.
class Server {
 public:
  // Starts to listen. At least one model; requests that name none are for the first.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const Config& config,
                                                       std::vector<ModelEntry> models,
                                                       std::shared_ptr<spdlog::logger> log);
  ~Server();

  // The ports in use, when 0 was asked for; 1 for a unix socket, 0 for metrics that are off.
  int port() const;
  int metrics_port() const;

  // Health turns NOT_SERVING, at once and on open Watches; all else goes on.
  void SetNotServing();
  // Takes no more calls; returns when what was accepted is answered, or cancelled at `deadline`.
  // The number of requests that were cancelled.
  int64_t Drain(Clock::time_point deadline);
  int64_t requests_in_flight() const;
  // Of the model at that place of the list.
  QueueDepth queue_depth(int model = 0) const;

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace attnd
