#include "core/batch/crew.h"

#include <sched.h>

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

void Crew::Open(int size) {
  size_ = size;
  // Nothing to claim yet.
  if (size_ > 1) Publish(1, 1);
}

void Crew::Close() {
  if (size_ > 1) Publish(0, 0);
  size_ = 1;
}

void Crew::Publish(int64_t count, int64_t index) {
  ++phase_;
  state_.store(
      phase_ << (2 * kBits) | static_cast<uint64_t>(count) << kBits | static_cast<uint64_t>(index),
      std::memory_order_release);
  state_.notify_all();
}

void Crew::For(int64_t count, Part part) {
  // More parts than the state can count are no reason to end: a model's config decides how many.
  if (size_ == 1 || count <= 1 || count > kPartsMax) {
    for (int64_t index = 0; index < count; ++index) part(index, lead_);
    return;
  }
  part_ = &part;
  left_.store(count, std::memory_order_relaxed);
  Publish(count, 0);
  Work(lead_);
  int64_t left = left_.load(std::memory_order_acquire);
  for (int spin = 0; left > 0; ++spin) {
    if (spin < kSpins) {
      Pause(spin);
    } else {
      left_.wait(left, std::memory_order_acquire);
    }
    left = left_.load(std::memory_order_acquire);
  }
  std::exception_ptr thrown;
  {
    MutexLock lock(mutex_);
    thrown = std::exchange(thrown_, nullptr);
  }
  if (thrown) std::rethrow_exception(thrown);
}

void Crew::Help(int member, const std::atomic<bool>& leave) {
  for (int spin = 0;; ++spin) {
    uint64_t state = state_.load(std::memory_order_acquire);
    if (CountOf(state) == 0) return;
    if (IndexOf(state) < CountOf(state)) {
      Work(member);
      spin = 0;
      continue;
    }
    if (leave.load(std::memory_order_relaxed)) return;
    if (spin < kSpins) {
      Pause(spin);
    } else {
      state_.wait(state, std::memory_order_acquire);
      spin = 0;
    }
  }
}

void Crew::Work(int member) {
  uint64_t state = state_.load(std::memory_order_acquire);
  while (IndexOf(state) < CountOf(state)) {
    // Whoever holds a part keeps the phase from ending, and with it `part_` as it is.
    if (!state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel)) continue;
    RunPart(IndexOf(state), member);
    state = state_.load(std::memory_order_acquire);
  }
}

void Crew::RunPart(int64_t index, int member) {
  try {
    (*part_)(index, member);
  } catch (...) {
    MutexLock lock(mutex_);
    thrown_ = std::current_exception();
  }
  if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) left_.notify_all();
}

}  // namespace attnd
