#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/batch/job.h"

namespace attnd {

// Virtual time: what happens when, and the first thing that was not as promised.
class Timeline {
 protected:
  // Events of one moment happen in the order in which they were planned.
  void At(Clock::time_point time, std::function<void()> event) {
    events_.emplace(time, std::move(event));
  }
  // Lets the next event happen. False: there is none, or something was violated.
  bool RunNext() {
    if (events_.empty() || !violation_.empty()) return false;
    auto first = events_.extract(events_.begin());
    now_ = first.key();
    first.mapped()();
    return true;
  }
  bool NothingElseNow() const { return events_.empty() || events_.begin()->first > now_; }

  void Violate(const std::string& what) {
    if (violation_.empty()) violation_ = what;
  }
  void Require(bool holds, const std::string& what) {
    if (!holds) Violate(what);
  }
  // With its time; empty if there is none.
  std::string Violation() const {
    if (violation_.empty()) return "";
    return absl::StrCat("at tick ", now_.time_since_epoch().count(), ": ", violation_);
  }

  Clock::time_point now_{Clock::duration(1000)};
  std::string violation_;

 private:
  std::multimap<Clock::time_point, std::function<void()>> events_;
};

}  // namespace attnd
