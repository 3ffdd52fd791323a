#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <utility>

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

  // For the lead. From Open to Close helpers may come. `expected` is how many are on their way:
  // the first For of several parts cuts them for those.
  void Open(int expected);
  void Close();
  // For the lead, between Open and Close and without them: whether nobody waits for its batch any
  // more, by what AskWith was given last; else false.
  bool abandoned() const { return ask_ && ask_(); }
  void AskWith(std::function<bool()> ask) { ask_ = std::move(ask); }
  // For the lead, closed: the seconds that others have spent on parts since it was asked last.
  double TakeHelpedSeconds();
  // How many members there are at this moment, or will be at any; the lead is one. A hint, for what
  // is to be cut into parts.
  int size() const;
  // Calls `part` once for each index in [0, count), each with the number of the member that it runs
  // on; returns when all have. Throws what a part threw. While closed, it is a loop.
  void For(int64_t count, Part part);

  // For a helper, known as `member`: takes parts until the crew is closed or `leave` says so. It is
  // asked before each part, and by one that sleeps after each phase and each Ring. Returns the
  // seconds spent in parts.
  double Help(int member, absl::FunctionRef<bool()> leave);
  // Has helpers ask `leave` soon: what it reads must be written before.
  void Ring();

 private:
  // The phase's number, its count of parts and the next one to claim, in one word, so that a claim
  // is of the phase that was looked at. A count of 0: closed.
  static constexpr int kBits = 20;
  static constexpr uint64_t kMask = (uint64_t{1} << kBits) - 1;
  static int64_t IndexOf(uint64_t state) { return static_cast<int64_t>(state & kMask); }
  static int64_t CountOf(uint64_t state) { return static_cast<int64_t>((state >> kBits) & kMask); }
  static bool HasPart(uint64_t state) { return IndexOf(state) < CountOf(state); }
  // Begins the next phase.
  void Publish(int64_t count, int64_t index);
  // Claims a part of the phase that `state` shows, if there is one left, and runs it.
  // The time that it took a helper, 0 of the lead; none if there was no part.
  std::optional<std::chrono::nanoseconds> TryPart(uint64_t state, int member);
  std::chrono::nanoseconds RunPart(int64_t index, int member);
  void WaitForParts();

  const int lead_;
  // The lead's.
  bool open_ = false;
  std::function<bool()> ask_;
  int expected_ = 0;
  uint64_t phase_ = 0;

  // Each is written by many: on a cache line of its own.
  alignas(64) std::atomic<uint64_t> state_ = 0;
  // 32 bits, for what is slept on: others' sleepers are not woken with it.
  alignas(64) std::atomic<int32_t> left_ = 0;  // Parts of the phase that have not returned.
  // Rung for each phase and by Ring: what helpers sleep on.
  alignas(64) std::atomic<int32_t> bell_ = 0;
  std::atomic<int> helpers_ = 0;  // Inside Help.
  std::atomic<int64_t> helped_nanoseconds_ = 0;

  alignas(64) const Part* part_ = nullptr;  // Read only by who has claimed a part.
  Mutex mutex_;
  std::exception_ptr thrown_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace attnd
