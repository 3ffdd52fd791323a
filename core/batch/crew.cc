#include "core/batch/crew.h"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace attnd {
namespace {

// 10 to 30 us of pauses, by the core: longer than what lies between two phases of a layer, shorter
// than sleeping and being woken. Every so often the CPU is offered to others.
constexpr int kSpins = 600;
constexpr int kSpinsBetweenYields = 100;

void Pause(int spin) {
  if (spin % kSpinsBetweenYields == kSpinsBetweenYields - 1) {
    sched_yield();
  } else {
    __builtin_ia32_pause();
  }
}

}  // namespace

void Crew::Open(int expected) {
  open_ = true;
  expected_ = expected;
  Publish(1, 1);  // Nothing to claim yet.
}

void Crew::Close() {
  if (open_) Publish(0, 0);
  open_ = false;
  expected_ = 0;
}

int Crew::size() const { return 1 + std::max(expected_, helpers_.load(std::memory_order_relaxed)); }

void Crew::Publish(int64_t count, int64_t index) {
  ++phase_;
  state_.store(
      phase_ << (2 * kBits) | static_cast<uint64_t>(count) << kBits | static_cast<uint64_t>(index),
      std::memory_order_release);
  Ring();
}

void Crew::Ring() {
  bell_.fetch_add(1, std::memory_order_release);
  bell_.notify_all();
}

void Crew::For(int64_t count, Part part) {
  // More parts than the state can count are no reason to end: a model's config decides how many.
  if (!open_ || count <= 1 || count > kPartsMax) {
    for (int64_t index = 0; index < count; ++index) part(index, lead_);
    return;
  }
  expected_ = 0;
  part_ = &part;
  left_.store(static_cast<int32_t>(count), std::memory_order_relaxed);
  Publish(count, 0);
  while (TryPart(state_.load(std::memory_order_acquire), lead_)) {
  }
  WaitForParts();
  std::exception_ptr thrown;
  {
    MutexLock lock(mutex_);
    thrown = std::exchange(thrown_, nullptr);
  }
  if (thrown) std::rethrow_exception(thrown);
}

// For those that helpers have.
void Crew::WaitForParts() {
  int32_t left = left_.load(std::memory_order_acquire);
  for (int spin = 0; left > 0; ++spin) {
    if (spin < kSpins) {
      Pause(spin);
    } else {
      left_.wait(left, std::memory_order_acquire);
    }
    left = left_.load(std::memory_order_acquire);
  }
}

double Crew::Help(int member, absl::FunctionRef<bool()> leave) {
  helpers_.fetch_add(1, std::memory_order_relaxed);
  std::chrono::nanoseconds busy(0);
  for (int spin = 0;; ++spin) {
    // Before all that is looked at, so that whatever changes behind it ends the sleep.
    const int32_t bell = bell_.load(std::memory_order_acquire);
    const uint64_t state = state_.load(std::memory_order_acquire);
    if (CountOf(state) == 0 || leave()) break;
    if (HasPart(state)) {
      busy += TryPart(state, member).value_or(std::chrono::nanoseconds(0));
      spin = 0;
    } else if (spin < kSpins) {
      Pause(spin);
    } else {
      bell_.wait(bell, std::memory_order_acquire);
      spin = 0;
    }
  }
  helpers_.fetch_sub(1, std::memory_order_relaxed);
  return std::chrono::duration<double>(busy).count();
}

std::optional<std::chrono::nanoseconds> Crew::TryPart(uint64_t state, int member) {
  const uint64_t phase = state >> kBits;
  // Whoever holds a part keeps the phase from ending, and with it `part_` as it is.
  while (state >> kBits == phase && HasPart(state)) {
    if (state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel,
                                     std::memory_order_acquire)) {
      return RunPart(IndexOf(state), member);
    }
  }
  return std::nullopt;
}

double Crew::TakeHelpedSeconds() {
  return static_cast<double>(helped_nanoseconds_.exchange(0, std::memory_order_relaxed)) / 1e9;
}

std::chrono::nanoseconds Crew::RunPart(int64_t index, int member) {
  const bool helps = member != lead_;
  const auto began =
      helps ? std::chrono::steady_clock::now() : std::chrono::steady_clock::time_point();
  try {
    (*part_)(index, member);
  } catch (...) {
    MutexLock lock(mutex_);
    thrown_ = std::current_exception();
  }
  std::chrono::nanoseconds spent(0);
  if (helps) {  // Before the lead can see that the part is done.
    spent = std::chrono::steady_clock::now() - began;
    helped_nanoseconds_.fetch_add(spent.count(), std::memory_order_relaxed);
  }
  if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) left_.notify_all();
  return spent;
}

}  // namespace attnd
