#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "core/batch/engine_impl.h"
#include "core/batch/guarded.h"

namespace attnd {
namespace {

// Until a row has been measured: about a small model's on one core.
constexpr double kFirstSecondsARow = 1e-4;

}  // namespace

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

// Of the lane that is furthest behind its share, of those that have a batch. When to ask again.
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
    double seconds = queue(lane).cost().Seconds(worker.batch.work);
    if (seconds == 0) seconds = kFirstSecondsARow * worker.batch.rows;
    running_.Begin(worker.index, now, seconds);
    share_.Begin(lane, seconds);
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
  crew.AskWith([this, &worker] {
    MutexLock lock(mutex_);
    return queue(worker.lane).IsAbandoned(worker.batch, Clock::now());
  });
  report.status = Guarded([&] { return executor.Step(worker.step, crew); });
  CloseToHelpers(worker);
  const Clock::time_point finished = Clock::now();
  report.compute_seconds = std::chrono::duration<double>(finished - started).count();
  {
    MutexLock lock(mutex_);
    queue(worker.lane).cost().Help(crew.TakeHelpedSeconds());
    share_.End(worker.lane, running_.End(worker.index), report.compute_seconds);
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

}  // namespace attnd
