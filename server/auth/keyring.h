#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "core/base/mutex.h"
#include "server/auth/caller.h"
#include "server/auth/caller_keys.h"

namespace attnd {

// The keys that are valid now, and everybody who ever had one. Thread-safe.
class Keyring {
 public:
  // Names since the start, gone ones too: each keeps its number.
  static constexpr size_t kNamesMax = 4096;

  // From now on these keys are valid, and no others. An error changes nothing.
  absl::Status Replace(std::span<const CallerKeys> callers);

  // Whose key it is; null: nobody's. Every key is compared, and to its end, so that the time says
  // neither which is like it nor how far. What is returned lives as long as this.
  Caller* Find(const KeyDigest& digest) const;

 private:
  struct Entry {
    KeyDigest digest;
    Caller* caller;
  };
  using Table = std::vector<Entry>;

  mutable Mutex mutex_;
  // Shared, because a Find that has begun ends with the table that it began with.
  std::shared_ptr<const Table> table_ ABSL_GUARDED_BY(mutex_) = std::make_shared<const Table>();
  std::map<std::string, std::unique_ptr<Caller>> callers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace attnd
