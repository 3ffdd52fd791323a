#pragma once

#include <chrono>
#include <cstddef>
#include <vector>

#include "core/batch/helpers.h"
#include "core/batch/job.h"

namespace attnd {

// What a lane's queue cannot know: how far the workers' time goes for what waits there.
struct Outlook {
  // Another lane that has work.
  struct Rival {
    double weight = 1;   // Of its share of the time, in terms of this lane's.
    double seconds = 0;  // Of work that waits there.
  };

  int workers = 1;
  double running = 0;  // Seconds of one worker that batches in progress still need, as expected.
  std::vector<Rival> rivals = {};

  // When `seconds` of one worker's time have been spent on this lane, from now on. All workers are
  // taken to be at work, and lanes to get their shares all the time (generalised processor sharing:
  // Parekh and Gallager 1993): each rival takes its part until its work is done.
  Clock::duration Until(double seconds) const;
};

// What the workers run at this moment, by worker.
class Running {
 public:
  explicit Running(int workers) : batches_(static_cast<size_t>(workers)) {}

  // A batch begins that is expected to take `seconds`.
  void Begin(int worker, Clock::time_point now, double seconds);
  // It has ended. What it was expected to take.
  double End(int worker);
  // But for the rivals. Workers that help go as far as those that they help.
  Outlook OutlookAt(Clock::time_point now, const Helpers& helpers) const;

 private:
  struct Batch {
    bool busy = false;
    Clock::time_point started{};
    double seconds = 0;
  };
  std::vector<Batch> batches_;
};

}  // namespace attnd
