#include "server/auth/keyring.h"

#include <algorithm>
#include <utility>

#include "core/base/strings.h"

namespace attnd {

absl::Status Keyring::Replace(std::span<const CallerKeys> callers) {
  auto table = std::make_shared<Table>();
  MutexLock lock(mutex_);
  const auto is_new = [&](const CallerKeys& keys) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return callers_.count(keys.name) == 0;
  };
  const auto added = static_cast<size_t>(std::count_if(callers.begin(), callers.end(), is_new));
  if (callers_.size() + added > kNamesMax) {
    return absl::ResourceExhaustedError(
        StrCat("with its new names, there are more than ", kNamesMax,
               " since the start: names may come again, or attnd be started anew"));
  }
  for (const CallerKeys& keys : callers) {
    std::unique_ptr<Caller>& caller = callers_[keys.name];
    if (caller == nullptr) {
      caller = std::make_unique<Caller>(static_cast<int32_t>(callers_.size()), keys.name);
    }
    caller->set_requests_max(keys.requests_max);
    for (const KeyDigest& digest : keys.digests) table->push_back({digest, caller.get()});
  }
  table_ = std::move(table);
  return absl::OkStatus();
}

Caller* Keyring::Find(const KeyDigest& digest) const {
  std::shared_ptr<const Table> table;
  {
    MutexLock lock(mutex_);
    table = table_;
  }
  size_t found = 0;  // One more than its place; digests are there once.
  for (size_t i = 0; i < table->size(); ++i) {
    found |= (i + 1) * static_cast<size_t>(AreEqual((*table)[i].digest, digest));
  }
  return found == 0 ? nullptr : (*table)[found - 1].caller;
}

}  // namespace attnd
