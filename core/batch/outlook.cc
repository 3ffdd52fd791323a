#include "core/batch/outlook.h"

#include <algorithm>

namespace attnd {
namespace {

// Far enough for every deadline, and far from overflow.
constexpr double kSecondsMax = 1e6;

}  // namespace

Clock::duration Outlook::Until(double seconds) const {
  double total = running + seconds;
  for (const Rival& rival : rivals) total += std::min(rival.seconds, rival.weight * seconds);
  const std::chrono::duration<double> time(std::min(total / workers, kSecondsMax));
  return std::chrono::duration_cast<Clock::duration>(time);
}

void Running::Begin(int worker, Clock::time_point now, double seconds) {
  batches_.at(static_cast<size_t>(worker)) = {.busy = true, .started = now, .seconds = seconds};
}

double Running::End(int worker) {
  Batch& batch = batches_.at(static_cast<size_t>(worker));
  batch.busy = false;
  return batch.seconds;
}

Outlook Running::OutlookAt(Clock::time_point now, const Helpers& helpers) const {
  Outlook outlook{.workers = static_cast<int>(batches_.size())};
  for (size_t worker = 0; worker < batches_.size(); ++worker) {
    const Batch& batch = batches_[worker];
    if (!batch.busy) continue;
    const std::chrono::duration<double> spent = now - batch.started;
    const int members = 1 + helpers.count(static_cast<int>(worker));
    outlook.running += std::max(0.0, batch.seconds - members * spent.count());
  }
  return outlook;
}

}  // namespace attnd
