#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "core/base/mutex.h"
#include "core/model/task.h"

namespace attnd {

// Outputs of tasks that were computed, by content, so that who asks again need not wait. Bounded in
// bytes; what was not used for longest goes first. Sound because a task's outputs depend on nothing
// but the model and its content. Thread-safe.
class ResultCache {
 public:
  struct Usage {
    int64_t entries = 0;
    int64_t bytes = 0;      // Of outputs and keys, and an estimate of what keeps them.
    int64_t evictions = 0;  // Since it was made.
  };

  explicit ResultCache(int64_t bytes_max) : bytes_max_(bytes_max) {}

  // `key` names the model and the content. Copies the outputs to `task` and returns true, or
  // returns false and leaves the task alone.
  bool Find(const std::string& key, EncodeTask& task);
  // Keeps a copy of the task's outputs. One larger than an eighth of the whole is not kept: it
  // would push out too much that others ask for.
  void Insert(const std::string& key, const EncodeTask& task);

  Usage usage() const;

 private:
  using Outputs = std::vector<std::vector<float>>;  // As in kEncodeOutputs.
  struct Entry {
    std::string key;
    std::shared_ptr<const Outputs> outputs;  // Shared, so that copying needs no lock.
    int64_t bytes = 0;
  };

  void EvictLast() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const int64_t bytes_max_;
  mutable Mutex mutex_;
  std::list<Entry> entries_ ABSL_GUARDED_BY(mutex_);  // The last used one first.
  std::unordered_map<std::string, std::list<Entry>::iterator> by_key_ ABSL_GUARDED_BY(mutex_);
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t evictions_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace attnd
