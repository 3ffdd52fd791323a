#include "core/base/parallel.h"

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/mutex.h"

namespace attnd {
namespace {

// Hands out indices in rising order, so that all below a failed one have been handed out too.
class Parts {
 public:
  Parts(int64_t count, absl::FunctionRef<absl::Status(int64_t)> part)
      : count_(count), part_(part) {}

  void Work() {
    while (!failed_) {
      const int64_t index = next_++;
      if (index >= count_) return;
      Keep(index, part_(index));
    }
  }

  absl::Status first_error() {
    const MutexLock lock(mutex_);
    return error_;
  }

 private:
  void Keep(int64_t index, absl::Status status) {
    if (status.ok()) return;
    const MutexLock lock(mutex_);
    if (error_.ok() || index < index_of_error_) {
      error_ = std::move(status);
      index_of_error_ = index;
    }
    failed_ = true;
  }

  const int64_t count_;
  const absl::FunctionRef<absl::Status(int64_t)> part_;
  std::atomic<int64_t> next_ = 0;
  std::atomic<bool> failed_ = false;
  Mutex mutex_;
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  int64_t index_of_error_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace

absl::Status ParallelFor(int64_t count, int threads,
                         absl::FunctionRef<absl::Status(int64_t)> part) {
  Parts parts(count, part);
  std::vector<std::jthread> others;  // They end before `parts` does, whatever is thrown.
  const int64_t wanted = std::min<int64_t>(threads, count) - 1;
  others.reserve(static_cast<size_t>(std::max<int64_t>(wanted, 0)));
  try {
    for (int64_t i = 0; i < wanted; ++i) others.emplace_back([&parts] { parts.Work(); });
  } catch (const std::system_error&) {
    // Fewer threads take longer, and do.
  }
  parts.Work();
  others.clear();
  return parts.first_error();
}

}  // namespace attnd
