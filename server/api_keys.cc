#include "server/api_keys.h"

#include <utility>

#include "core/base/check.h"
#include "core/base/strings.h"

namespace attnd {
namespace {

void LogKeys(const KeyFile::Change& change, spdlog::logger& log) {
  if (!change.status.ok()) {
    log.error("api keys: those of before are still valid: {}",
              std::string(change.status.message()));
    return;
  }
  log.info("api keys: those of {} callers are valid", change.names.size());
  if (change.others_may_read) {
    log.warn("api keys: everybody on this machine may read the file of digests (chmod o-r)");
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<ApiKeys>> ApiKeys::Open(const Config& config) {
  if (config.api_keys.empty()) return nullptr;
  std::unique_ptr<ApiKeys> keys(new ApiKeys(config.api_keys));
  auto change = keys->file_.Load();
  CHECK_THAT(change.has_value());  // The first time, all is new.
  if (!change->status.ok()) {
    return absl::Status(change->status.code(),
                        StrCat("--api-keys: ", ToStd(change->status.message())));
  }
  keys->first_ = *std::move(change);
  return keys;
}

void ApiKeys::Watch(std::chrono::nanoseconds interval, Metrics& metrics, spdlog::logger& log) {
  LogKeys(first_, log);
  metrics.SetCallers(first_.names);
  watch_.emplace(file_, interval, [&metrics, &log](const KeyFile::Change& change) {
    metrics.KeysReloaded(change.status);
    LogKeys(change, log);
  });
}

}  // namespace attnd
