#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "absl/base/thread_annotations.h"

namespace attnd {

// std::mutex and std::condition_variable under clang's -Wthread-safety. Not absl::Mutex, for two
// reasons. ThreadSanitizer knows the standard ones, but not those of a distribution's Abseil, which
// is built without it: it would report races where there are none. And a timed wait of Debian 12's
// Abseil follows the wall clock, so that a clock set back by an hour makes it wait for an hour.
class ABSL_LOCKABLE Mutex {
 public:
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

 private:
  friend class Condition;
  std::mutex mutex_;
};

class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(mutex) {
    mutex_.Lock();
  }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Waits may end without reason: ask again for what was waited for.
class Condition {
 public:
  // `wake` = max() waits without limit of time.
  void WaitUntil(Mutex& mutex, std::chrono::steady_clock::time_point wake)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::unique_lock lock(mutex.mutex_, std::adopt_lock);
    if (wake == std::chrono::steady_clock::time_point::max()) {
      condition_.wait(lock);
    } else {
      condition_.wait_until(lock, wake);
    }
    lock.release();  // The caller still holds it.
  }
  void NotifyOne() { condition_.notify_one(); }
  void NotifyAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace attnd
