#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/batch/job.h"
#include "core/batch/limits.h"
#include "server/config.h"
#include "server/validate/served_model.h"
#include "spdlog/logger.h"

namespace attnd {

// Everything that runs, in the order in which it is made: metrics, engine, services, gRPC server;
// taken down in reverse. Shutting down is SetNotServing, a while of serving on, then Drain.
class Server {
 public:
  // Starts to listen. What `model`'s functions and `executors` refer to must outlive the server.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const Config& config, ServedModel model,
                                                       ExecutorFactory executors,
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
  QueueDepth queue_depth() const;

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace attnd
