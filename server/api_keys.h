#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/auth/key_file.h"
#include "server/auth/key_watch.h"
#include "server/config.h"
#include "server/observe/metrics.h"
#include "spdlog/logger.h"

namespace attnd {

// The file of --api-keys from the start of a server to its end: read, watched, logged and counted.
class ApiKeys {
 public:
  // Null without --api-keys. An error names the flag, the file and what is wrong with it.
  static absl::StatusOr<std::unique_ptr<ApiKeys>> Open(const Config& config);

  // From now on the file is read again where it changes. `metrics` and `log` must outlive this.
  void Watch(std::chrono::nanoseconds interval, Metrics& metrics, spdlog::logger& log);

  const Keyring& keyring() const { return file_.keyring(); }

 private:
  explicit ApiKeys(std::string path) : file_(std::move(path)) {}

  KeyFile file_;
  KeyFile::Change first_;
  std::optional<KeyWatch> watch_;
};

}  // namespace attnd
