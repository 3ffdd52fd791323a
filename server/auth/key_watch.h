#pragma once

#include <chrono>
#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "core/base/mutex.h"
#include "server/auth/key_file.h"

namespace attnd {

// Loads a key file again and again, on a thread of its own, until this ends.
class KeyWatch {
 public:
  using OnChange = std::function<void(const KeyFile::Change&)>;

  // `file`, which must outlive this, belongs to that thread from now on; `on_change` is called
  // there.
  KeyWatch(KeyFile& file, std::chrono::nanoseconds interval, OnChange on_change);
  ~KeyWatch();

 private:
  void Run(KeyFile& file, std::chrono::nanoseconds interval, const OnChange& on_change);

  Mutex mutex_;
  Condition wake_;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace attnd
