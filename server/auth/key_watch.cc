#include "server/auth/key_watch.h"

#include <utility>

namespace attnd {

KeyWatch::KeyWatch(KeyFile& file, std::chrono::nanoseconds interval, OnChange on_change)
    : thread_([this, &file, interval, on_change = std::move(on_change)] {
        Run(file, interval, on_change);
      }) {}

KeyWatch::~KeyWatch() {
  {
    MutexLock lock(mutex_);
    ending_ = true;
  }
  wake_.NotifyOne();
  thread_.join();
}

void KeyWatch::Run(KeyFile& file, std::chrono::nanoseconds interval, const OnChange& on_change) {
  using Steady = std::chrono::steady_clock;
  while (true) {
    const auto next = Steady::now() + std::chrono::duration_cast<Steady::duration>(interval);
    {
      MutexLock lock(mutex_);
      while (!ending_ && Steady::now() < next) wake_.WaitUntil(mutex_, next);
      if (ending_) return;
    }
    if (const auto change = file.Load()) on_change(*change);
  }
}

}  // namespace attnd
