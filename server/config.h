#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/layers/dense_kernels.h"
#include "server/observe/log.h"
#include "server/tls/options.h"
#include "server/validate/limits.h"

namespace attnd {

// What one connection may do.
struct ConnectionLimits {
  int32_t streams = 100;  // Calls open at once.
  int64_t metadata_bytes = 8 << 10;
  std::chrono::nanoseconds handshake_timeout = std::chrono::seconds(10);
  std::chrono::nanoseconds keepalive_interval = std::chrono::seconds(60);
  std::chrono::nanoseconds keepalive_timeout = std::chrono::seconds(20);
  std::chrono::nanoseconds client_ping_interval_min = std::chrono::seconds(30);
  std::chrono::nanoseconds idle_max = std::chrono::minutes(15);
  std::chrono::nanoseconds age_max = std::chrono::minutes(30);
  std::chrono::nanoseconds age_grace = std::chrono::seconds(30);
};

// A model to serve, and what it has of its own.
struct ModelSource {
  std::string name;  // Given as NAME=DIR; else the directory's last part.
  std::string path;
  double weight = 1;
  // Instead of the server's.
  std::optional<int64_t> queue_tokens, queue_requests, queue_bytes;
  std::optional<Precision> precision;
};

// Every knob. A flag's name is its name in the config file; in the environment it is
// ATTND_ and the name in capitals. Flags win over the environment, the environment over the file.
// Default, unit, range and consequence of each stand in config_flags.cc, which `--help` prints.
struct Config {
  std::vector<ModelSource> models;  // At least one, no two of one name.
  std::string listen = "127.0.0.1:50051";
  std::string metrics_listen = "127.0.0.1:9090";  // Empty: no metrics.
  bool insecure = false;
  TlsOptions tls;
  bool reflection = false;
  std::string api_keys;  // A file (server/auth/caller_keys.h); empty: whoever reaches it may call.
  std::chrono::nanoseconds api_keys_refresh = std::chrono::seconds(2);
  int workers = 0;  // 0: as many as the CPU quota has.
  Precision precision = Precision::kF32;
  std::string calibration_texts;  // A file; empty: those that attnd brings along.
  double accuracy_min = 0.99;     // The least cosine of a calibration text, of what is not f32.
  std::chrono::nanoseconds batch_delay{0};
  bool share_identical = true;
  int64_t result_cache_bytes = 0;  // 0: results are not kept.
  Limits limits;
  ConnectionLimits connection;
  std::chrono::nanoseconds shutdown_delay = std::chrono::seconds(5);
  std::chrono::nanoseconds drain_timeout = std::chrono::seconds(30);
  LogFormat log_format = LogFormat::kText;
  std::string log_level = "info";
};

// What a wrong configuration exits with.
inline constexpr int kBadConfig = 2;

// Instead of a configuration: text to print, and the code to exit with. 0 goes to standard output;
// kBadConfig, which names the flag that is wrong, to standard error.
struct ConfigExit {
  std::string text;
  int code = 0;
};

// With --check-config: the configuration, and all of it as a config file, to print once the model
// directory, which is not looked at here, has been checked too.
struct ConfigCheck {
  Config config;
  std::string text;
};

// The server's limits with the model's own queue, and with room for its longest sequence in a batch
// and in the queue.
Limits LimitsOf(const ModelSource& model, const Limits& limits, int32_t length_max);

// Reads flags, environment and config file, and checks them. Touches nothing else. `arguments` are
// main's.
std::variant<Config, ConfigCheck, ConfigExit> ReadConfig(int count, const char* const* arguments);

}  // namespace attnd
