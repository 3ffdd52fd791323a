#pragma once

#include <atomic>
#include <cstdint>
#include <exception>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "core/base/mutex.h"

namespace attnd {

// Splits the batch of one worker, its lead, between it and whoever comes to help. Parts are claimed
// one by one, so that a helper which the system takes off its CPU holds up no more than the part
// that it has, and so that helpers may come and go at any moment.
//
// Whoever waits spins for some microseconds, since the next phase mostly comes sooner than a thread
// is woken, and then sleeps, so that a process beside ours gets its share of the CPU.
class Crew {
 public:
  using Part = absl::FunctionRef<void(int64_t index, int member)>;
  // Parts of one For that helpers share; of more, the lead runs all.
  static constexpr int64_t kPartsMax = (1 << 20) - 1;

  // `lead` is how the lead is called in parts.
  explicit Crew(int lead) : lead_(lead) {}

  // For the lead. From Open to Close helpers stay; `size` is how many members there may be, the
  // lead among them.
  void Open(int size);
  void Close();
  int size() const { return size_; }
  // Calls `part` once for each index in [0, count), each with the number of the member that it runs
  // on; returns when all have. Throws what a part threw. Without helpers, it is a loop.
  void For(int64_t count, Part part);

  // For a helper, known as `member`: takes parts until the crew is closed or, when it finds none to
  // take, `leave` is set. One that has gone to sleep looks again with the next phase.
  void Help(int member, const std::atomic<bool>& leave);

 private:
  // The phase's number, its count of parts and the next one to claim, in one word, so that a claim
  // is of the phase that was looked at. A count of 0: closed.
  static constexpr int kBits = 20;
  static constexpr uint64_t kMask = (uint64_t{1} << kBits) - 1;
  static int64_t IndexOf(uint64_t state) { return static_cast<int64_t>(state & kMask); }
  static int64_t CountOf(uint64_t state) { return static_cast<int64_t>((state >> kBits) & kMask); }
  // Begins the next phase.
  void Publish(int64_t count, int64_t index);
  // Claims and runs parts while there are any.
  void Work(int member);
  void RunPart(int64_t index, int member);

  const int lead_;
  int size_ = 1;
  uint64_t phase_ = 0;  // The lead's.
  std::atomic<uint64_t> state_ = 0;
  std::atomic<int64_t> left_ = 0;  // Parts of the phase that have not returned.
  const Part* part_ = nullptr;     // Read only by who has claimed a part.
  Mutex mutex_;
  std::exception_ptr thrown_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace attnd
