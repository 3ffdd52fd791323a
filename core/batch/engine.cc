#include "core/batch/engine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/batch/engine_impl.h"
#include "core/batch/guarded.h"

namespace attnd {
namespace {

// The policy is told how many will come back for their part of a backlog.
std::vector<Queue> MakeQueues(const std::vector<Engine::Lane>& lanes, int workers) {
  std::vector<Queue> queues;
  for (const Engine::Lane& lane : lanes) {
    BatchLimits limits = lane.batch;
    limits.workers = workers;
    queues.emplace_back(limits, lane.queue, &Decide, lane.row_a_pair);
  }
  return queues;
}

std::vector<double> WeightsOf(const std::vector<Engine::Lane>& lanes) {
  std::vector<double> weights;
  for (const Engine::Lane& lane : lanes) weights.push_back(lane.weight);
  return weights;
}

}  // namespace

Engine::Impl::Impl(Options options, std::vector<Lane> lanes)
    : options_(std::move(options)),
      lanes_(std::move(lanes)),
      queues_(MakeQueues(lanes_, options_.workers)),
      share_(WeightsOf(lanes_)),
      running_(std::max(options_.workers, 0)),
      idle_(options_.workers),
      helpers_(std::max(options_.workers, 0)) {
  CHECK_THAT(options_.workers > 0 && !lanes_.empty());
  for (int i = 0; i < options_.workers; ++i) crews_.push_back(std::make_unique<Crew>(i));
  for (int i = 0; i < options_.workers; ++i) {
    const absl::Status started = Guarded([&] {
      threads_.emplace_back([this, i] { Work(i); });
      return absl::OkStatus();
    });
    // One after the other, for factories are called without a lock and are not const.
    MutexLock lock(mutex_);
    if (!started.ok()) {
      status_ =
          absl::InternalError(absl::StrCat("worker ", i, " has no thread: ", started.message()));
    }
    while (status_.ok() && ready_ <= i) done_.WaitUntil(mutex_, Clock::time_point::max());
    if (!status_.ok()) return;
  }
  // All at the same time.
  MutexLock lock(mutex_);
  while (status_.ok() && warm_ < options_.workers) {
    done_.WaitUntil(mutex_, Clock::time_point::max());
  }
}

Engine::Impl::~Impl() {
  // Without a limit of time, so it does finish all.
  (void)Drain(Clock::time_point::max());
  {
    MutexLock lock(mutex_);
    stop_ = true;
    work_.NotifyAll();
  }
  for (std::thread& thread : threads_) thread.join();
}

absl::Status Engine::Impl::Submit(int lane, std::vector<std::unique_ptr<Job>>& jobs) {
  if (!status_.ok()) return status_;
  const auto count = static_cast<int64_t>(jobs.size());
  MutexLock lock(mutex_);
  const bool was_empty = queue(lane).empty();
  const Clock::time_point now = Clock::now();
  absl::Status status = queue(lane).Submit(jobs, now, OutlookOf(lane, now));
  if (status.ok()) {
    open_ += count;
    if (was_empty) share_.Arrive(lane);
    if (!queue(lane).empty()) WakeWorker();  // Empty: all share what runs.
  }
  return status;
}

absl::Status Engine::Impl::Check(int lane, std::span<const std::unique_ptr<Job>> jobs) const {
  if (!status_.ok()) return status_;
  MutexLock lock(mutex_);
  const Clock::time_point now = Clock::now();
  return queues_.at(static_cast<size_t>(lane)).Check(jobs, now, OutlookOf(lane, now));
}

Outlook Engine::Impl::OutlookOf(int lane, Clock::time_point now) const {
  Outlook outlook = running_.OutlookAt(now, helpers_);
  for (int other = 0; other < static_cast<int>(queues_.size()); ++other) {
    const Queue& rival = queues_[static_cast<size_t>(other)];
    if (other == lane || rival.empty()) continue;
    outlook.rivals.push_back({.weight = lanes_[static_cast<size_t>(other)].weight /
                                        lanes_[static_cast<size_t>(lane)].weight,
                              .seconds = rival.seconds()});
  }
  return outlook;
}

void Engine::Impl::ReapCancelled() {
  std::vector<Finished> finished;
  {
    MutexLock lock(mutex_);
    for (Queue& queue : queues_) queue.ReapCancelled(finished);
  }
  Finish(finished);
}

bool Engine::Impl::Drain(Clock::time_point deadline) {
  std::vector<Finished> abandoned;
  {
    MutexLock lock(mutex_);
    for (Queue& queue : queues_) queue.Close();
    work_.NotifyAll();  // A batch that was waiting to become fuller leaves now.
    while (open_ > 0 && Clock::now() < deadline) done_.WaitUntil(mutex_, deadline);
    if (open_ == 0) return true;
    for (Queue& queue : queues_) queue.Abandon(abandoned);
  }
  Finish(abandoned);
  return false;
}

QueueDepth Engine::Impl::depth(int lane) const {
  MutexLock lock(mutex_);
  return queues_.at(static_cast<size_t>(lane)).depth();
}

double Engine::Impl::expected_seconds(int lane) const {
  MutexLock lock(mutex_);
  return queues_.at(static_cast<size_t>(lane)).seconds() / options_.workers;
}

Engine::Engine(Options options, std::vector<Lane> lanes)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(lanes))) {}
Engine::Engine(Options options, Lane lane)
    : Engine(std::move(options), [&] {
        std::vector<Lane> lanes;
        lanes.push_back(std::move(lane));
        return lanes;
      }()) {}
Engine::~Engine() = default;

const absl::Status& Engine::status() const { return impl_->status(); }
absl::Status Engine::Submit(int lane, std::vector<std::unique_ptr<Job>>& jobs) {
  return impl_->Submit(lane, jobs);
}
absl::Status Engine::Check(int lane, std::span<const std::unique_ptr<Job>> jobs) const {
  return impl_->Check(lane, jobs);
}
void Engine::ReapCancelled() { impl_->ReapCancelled(); }
bool Engine::Drain(Clock::time_point deadline) { return impl_->Drain(deadline); }
QueueDepth Engine::depth(int lane) const { return impl_->depth(lane); }
double Engine::expected_seconds(int lane) const { return impl_->expected_seconds(lane); }

}  // namespace attnd
