#include "core/batch/engine.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/mutex.h"
#include "core/batch/crew.h"
#include "core/batch/fair_share.h"
#include "core/batch/guarded.h"
#include "core/batch/helpers.h"
#include "core/batch/queue.h"
#include "core/batch/worker.h"

namespace attnd {
namespace {

// The policy is told how many will come back for their part of a backlog.
std::vector<Queue> MakeQueues(const std::vector<Engine::Lane>& lanes, int workers) {
  std::vector<Queue> queues;
  for (const Engine::Lane& lane : lanes) {
    BatchLimits limits = lane.batch;
    limits.workers = workers;
    queues.emplace_back(limits, lane.queue);
  }
  return queues;
}

std::vector<double> WeightsOf(const std::vector<Engine::Lane>& lanes) {
  std::vector<double> weights;
  for (const Engine::Lane& lane : lanes) weights.push_back(lane.weight);
  return weights;
}

}  // namespace

class Engine::Impl {
 public:
  Impl(Options options, std::vector<Lane> lanes);
  ~Impl();

  const absl::Status& status() const { return status_; }
  absl::Status Submit(int lane, std::vector<std::unique_ptr<Job>>& jobs)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Check(int lane, std::span<const std::unique_ptr<Job>> jobs) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  void ReapCancelled() ABSL_LOCKS_EXCLUDED(mutex_);
  bool Drain(Clock::time_point deadline) ABSL_LOCKS_EXCLUDED(mutex_);
  QueueDepth depth(int lane) const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Work(int index) ABSL_LOCKS_EXCLUDED(mutex_);
  // Counts a worker that has come so far. False if it has not; status_ says why.
  bool HasCome(int Impl::*count, int index, const char* what, const absl::Status& status)
      ABSL_LOCKS_EXCLUDED(mutex_);
  bool Pull(Worker& worker) ABSL_LOCKS_EXCLUDED(mutex_);
  Clock::time_point Take(Worker& worker) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Opens the worker's batch to helpers, if there is enough of it. How many to wake for it.
  int OpenToHelpers(Worker& worker) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CloseToHelpers(Worker& worker) ABSL_LOCKS_EXCLUDED(mutex_);
  // Helps with another's batch until that is done or the helper is called back.
  void Help(int member, const Helpers::Place& place) ABSL_LOCKS_EXCLUDED(mutex_);
  void RunBatch(Worker& worker) ABSL_LOCKS_EXCLUDED(mutex_);
  void Finish(std::vector<Finished>& finished) ABSL_LOCKS_EXCLUDED(mutex_);
  void WakeWorker() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Queue& queue(int lane) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    CHECK_THAT(lane >= 0 && lane < static_cast<int>(queues_.size()));
    return queues_[static_cast<size_t>(lane)];
  }
  // Queues that hold a job.
  int CountWaiting() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  std::vector<Lane> lanes_;  // Their factories are used by one worker after the other.
  absl::Status status_;      // Constant once the constructor is done.

  mutable Mutex mutex_;
  Condition work_;  // What an idle worker waits for: the queue has changed, or `stop_`.
  Condition done_;  // `open_` became 0, or a worker is ready, or warm.
  std::vector<Queue> queues_ ABSL_GUARDED_BY(mutex_);  // By lane.
  FairShare share_ ABSL_GUARDED_BY(mutex_);
  int64_t open_ ABSL_GUARDED_BY(mutex_) = 0;  // Jobs accepted whose `done` has not returned.
  // Workers with neither a batch nor a helper's place: asleep, or calling others with answers.
  int idle_ ABSL_GUARDED_BY(mutex_);
  int asleep_ ABSL_GUARDED_BY(mutex_) = 0;
  Helpers helpers_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Crew>> crews_;  // By lead.
  // A helper is to come back, for what has arrived; the first that sees it takes it. Looked at by
  // all helpers that spin: on a cache line of its own.
  alignas(64) std::atomic<bool> called_back_ = false;
  // Workers that have tried to make their executors, and that have warmed them up.
  alignas(64) int ready_ ABSL_GUARDED_BY(mutex_) = 0;
  int warm_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

Engine::Impl::Impl(Options options, std::vector<Lane> lanes)
    : options_(std::move(options)),
      lanes_(std::move(lanes)),
      queues_(MakeQueues(lanes_, options_.workers)),
      share_(WeightsOf(lanes_)),
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
  absl::Status status = queue(lane).Submit(jobs, Clock::now());
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
  return queues_.at(static_cast<size_t>(lane)).Check(jobs, Clock::now());
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

void Engine::Impl::Work(int index) {
  Worker worker;
  worker.index = index;
  if (!HasCome(&Impl::ready_, index, "make its executor", worker.MakeExecutors(lanes_))) return;
  if (!HasCome(&Impl::warm_, index, "warm up", worker.WarmUp())) return;
  while (Pull(worker)) {
    if (!worker.batch.jobs.empty()) RunBatch(worker);
    Finish(worker.finished);
  }
}

bool Engine::Impl::HasCome(int Impl::*count, int index, const char* what,
                           const absl::Status& status) {
  MutexLock lock(mutex_);
  if (!status.ok()) {
    status_ = absl::InternalError(
        absl::StrCat("worker ", index, " cannot ", what, ": ", status.message()));
  }
  ++(this->*count);
  done_.NotifyAll();
  return status.ok();
}

// Waits for something to run or to finish; helps others meanwhile. False: the engine ends.
bool Engine::Impl::Pull(Worker& worker) {
  while (true) {
    std::optional<Helpers::Place> place;
    int invited = 0;
    {
      MutexLock lock(mutex_);
      while (!stop_) {
        const Clock::time_point wake = Take(worker);
        if (CountWaiting() == 0) called_back_ = false;
        if (!worker.batch.jobs.empty() || !worker.finished.empty()) break;
        // While something waits for company, all who are idle wait with it.
        if (CountWaiting() == 0) place = helpers_.Join();
        if (place) break;
        ++asleep_;
        work_.WaitUntil(mutex_, wake);
        --asleep_;
      }
      if (stop_) return false;
      if (place || !worker.batch.jobs.empty()) --idle_;
      if (!place) invited = OpenToHelpers(worker);
      if (CountWaiting() > 0) WakeWorker();
    }
    for (int i = 0; i < invited; ++i) work_.NotifyOne();
    if (!place) return true;
    Help(worker.index, *place);
  }
}

int Engine::Impl::OpenToHelpers(Worker& worker) {
  int room = 0;
  if (!worker.batch.jobs.empty() && options_.split_rows > 0 &&
      worker.executors[static_cast<size_t>(worker.lane)]->splits()) {
    room = std::min(options_.workers, worker.batch.rows / options_.split_rows) - 1;
  }
  worker.split = room > 0;
  if (worker.split) helpers_.Begin(worker.index, worker.lane, room);
  // What is queued comes first. Whoever leaves nothing there asks the others to join any batch.
  const int invited = CountWaiting() > 0 ? 0 : std::min(idle_, helpers_.room());
  if (worker.split) crews_[static_cast<size_t>(worker.index)]->Open(std::min(invited, room));
  return invited;
}

void Engine::Impl::CloseToHelpers(Worker& worker) {
  if (!worker.split) return;
  {
    // First, so that nobody who finds the crew closed joins again.
    MutexLock lock(mutex_);
    helpers_.End(worker.index);
  }
  crews_[static_cast<size_t>(worker.index)]->Close();
}

void Engine::Impl::Help(int member, const Helpers::Place& place) {
  const double seconds = crews_[static_cast<size_t>(place.lead)]->Help(member, [this] {
    return called_back_.load(std::memory_order_relaxed) && called_back_.exchange(false);
  });
  MutexLock lock(mutex_);
  helpers_.Leave(place.lead);
  // One that missed the batch's end has helped with the next too; that this lane pays evens out.
  share_.Help(place.lane, seconds);
  ++idle_;
}

int Engine::Impl::CountWaiting() const {
  return static_cast<int>(std::count_if(queues_.begin(), queues_.end(),
                                        [](const Queue& queue) { return !queue.empty(); }));
}

// The next batch of the lane that is furthest behind its share, of those that have one. When to ask
// again if there is none.
Clock::time_point Engine::Impl::Take(Worker& worker) {
  const Clock::time_point now = Clock::now();
  Clock::time_point wake = Clock::time_point::max();
  // Idle workers, helpers among them, split one queue's work between them; where several queues
  // have work, a worker that takes all of one leaves the others to the others, and reads its
  // weights once.
  const int waiting = std::max(1, CountWaiting());
  const int idle = (idle_ + helpers_.count() + waiting - 1) / waiting;
  for (const int lane : share_.Order()) {
    if (queue(lane).empty()) continue;
    wake = std::min(wake, queue(lane).Take(now, idle, worker.batch, worker.finished));
    if (worker.batch.jobs.empty()) {
      share_.Arrive(lane);  // It waits for company; that is no time that it was denied.
      continue;
    }
    worker.lane = lane;
    worker.charged = share_.Begin(lane, worker.batch.rows);
    break;
  }
  return wake;
}

void Engine::Impl::RunBatch(Worker& worker) {
  worker.step.clear();
  for (const std::unique_ptr<Job>& job : worker.batch.jobs) worker.step.push_back(job.get());
  BatchReport report;
  report.lane = worker.lane;
  report.sequences = static_cast<int32_t>(worker.step.size());
  report.rows = worker.batch.rows;

  // Take has just found these jobs neither cancelled nor expired, on this thread.
  const Clock::time_point started = Clock::now();
  Executor& executor = *worker.executors[static_cast<size_t>(worker.lane)];
  Crew& crew = *crews_[static_cast<size_t>(worker.index)];
  report.status = Guarded([&] { return executor.Step(worker.step, crew); });
  CloseToHelpers(worker);
  const Clock::time_point finished = Clock::now();
  report.compute_seconds = std::chrono::duration<double>(finished - started).count();
  {
    MutexLock lock(mutex_);
    share_.End(worker.lane, worker.batch.rows, worker.charged, report.compute_seconds);
    const bool was_empty = queue(worker.lane).empty();
    queue(worker.lane).Complete(report.status, finished, worker.batch, worker.finished);
    if (was_empty && !queue(worker.lane).empty()) share_.Arrive(worker.lane);
    ++idle_;
  }
  if (options_.on_batch) options_.on_batch(report);
}

void Engine::Impl::Finish(std::vector<Finished>& finished) {
  const auto count = static_cast<int64_t>(finished.size());
  if (count == 0) return;
  CallDone(finished);
  MutexLock lock(mutex_);
  open_ -= count;
  if (open_ == 0) done_.NotifyAll();
}

// One is enough: whoever leaves something in the queue wakes the next. So a lone job does not wake
// all cores, nor call all helpers back.
void Engine::Impl::WakeWorker() {
  if (asleep_ > 0) return work_.NotifyOne();
  // Nobody has answered the last call: no need for another.
  if (helpers_.count() == 0 || called_back_.exchange(true)) return;
  for (int lead = 0; lead < options_.workers; ++lead) {
    if (helpers_.count(lead) > 0) crews_[static_cast<size_t>(lead)]->Ring();
  }
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

}  // namespace attnd
