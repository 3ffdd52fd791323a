#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "attnd/v1/encoder.pb.h"
#include "client/load/plan.h"
#include "client/load/report.h"
#include "client/tls.h"

namespace attnd::client {

struct LoadOptions {
  std::string target;
  std::optional<TlsOptions> tls = {};  // Without it: plaintext.
  int32_t connections = 4;             // TCP connections, used in turn.
  int32_t reply_bytes_max = 4 * 1024 * 1024;
  std::string api_key;  // As ConnectOptions::api_key.
  // Requests a second, whether or not the earlier ones are answered (open loop). 0: `concurrency`
  // decides.
  double rate = 0;
  Arrival arrival = Arrival::kPoisson;
  uint32_t seed = 7;
  // With rate 0, each answer lets the next request go, this many at a time (closed loop). In an
  // open loop, the bound on requests in flight: at it the sender waits, which shows as latency,
  // since that counts from the intended time.
  int32_t in_flight_max = 1;
  double warmup_seconds = 1;
  double measured_seconds = 10;                       // After the warm-up.
  std::chrono::milliseconds deadline{10'000};         // Of each request.
  std::chrono::milliseconds connect_time_max{5'000};  // For each connection, before the start.
};

// Sends `requests` in turn, from the first again after the last, for the time that the options say;
// returns when all are answered or past their deadline: one sample a request sent. Fails if no
// connection can be made.
absl::StatusOr<std::vector<LoadSample>> GenerateLoad(
    const LoadOptions& options, const std::vector<v1::EncodeRequest>& requests);

}  // namespace attnd::client
