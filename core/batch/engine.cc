#include "core/batch/engine.h"

#include <exception>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/mutex.h"
#include "core/batch/queue.h"

namespace attnd {
namespace {

// Runs what is not ours to trust: an exception becomes a status here, and goes no further.
template <typename Function>
absl::Status Guarded(Function function) {
  try {
    return function();
  } catch (const std::exception& error) {
    return absl::InternalError(error.what());
  } catch (...) {
    return absl::InternalError("an exception of unknown type");
  }
}

// The policy is told how many will come back for their part of a backlog.
BatchLimits LimitsOf(const Engine::Options& options) {
  BatchLimits limits = options.batch;
  limits.workers = options.workers;
  return limits;
}

}  // namespace

class Engine::Impl {
 public:
  Impl(Options options, ExecutorFactory executors);
  ~Impl();

  const absl::Status& status() const { return status_; }
  absl::Status Submit(std::vector<std::unique_ptr<Job>>& jobs) ABSL_LOCKS_EXCLUDED(mutex_);
  void ReapCancelled() ABSL_LOCKS_EXCLUDED(mutex_);
  bool Drain(Clock::time_point deadline) ABSL_LOCKS_EXCLUDED(mutex_);
  QueueDepth depth() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // A worker's own: made by and used on its thread. The vectors keep their capacity from batch to
  // batch.
  struct Worker {
    std::unique_ptr<Executor> executor;
    Batch batch;
    std::vector<Job*> step;
    std::vector<Finished> finished;
  };

  void Work(int index, ExecutorFactory& executors) ABSL_LOCKS_EXCLUDED(mutex_);
  std::unique_ptr<Executor> MakeExecutor(int index, ExecutorFactory& executors)
      ABSL_LOCKS_EXCLUDED(mutex_);
  bool Pull(Worker& worker) ABSL_LOCKS_EXCLUDED(mutex_);
  void RunBatch(Worker& worker) ABSL_LOCKS_EXCLUDED(mutex_);
  void Finish(std::vector<Finished>& finished) ABSL_LOCKS_EXCLUDED(mutex_);
  void WakeWorker() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  absl::Status status_;  // Constant once the constructor is done.

  mutable Mutex mutex_;
  Condition work_;  // What an idle worker waits for: the queue has changed, or `stop_`.
  Condition done_;  // `open_` became 0, or a worker is ready.
  Queue queue_ ABSL_GUARDED_BY(mutex_);
  int64_t open_ ABSL_GUARDED_BY(mutex_) = 0;  // Jobs accepted whose `done` has not returned.
  // Workers with no batch: asleep, or on their way to the queue.
  int idle_ ABSL_GUARDED_BY(mutex_) = 0;
  int ready_ ABSL_GUARDED_BY(mutex_) = 0;  // Workers that have tried to make their executor.
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

Engine::Impl::Impl(Options options, ExecutorFactory executors)
    : options_(std::move(options)), queue_(LimitsOf(options_), options_.queue) {
  CHECK_THAT(options_.workers > 0);
  for (int i = 0; i < options_.workers; ++i) {
    const absl::Status started = Guarded([&] {
      threads_.emplace_back([this, i, &executors] { Work(i, executors); });
      return absl::OkStatus();
    });
    // One after the other, for the factory is called without a lock and is not const.
    MutexLock lock(mutex_);
    if (!started.ok()) {
      status_ =
          absl::InternalError(absl::StrCat("worker ", i, " has no thread: ", started.message()));
    }
    while (status_.ok() && ready_ <= i) done_.WaitUntil(mutex_, Clock::time_point::max());
    if (!status_.ok()) break;
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

absl::Status Engine::Impl::Submit(std::vector<std::unique_ptr<Job>>& jobs) {
  if (!status_.ok()) return status_;
  const auto count = static_cast<int64_t>(jobs.size());
  MutexLock lock(mutex_);
  absl::Status status = queue_.Submit(jobs, Clock::now());
  if (status.ok()) {
    open_ += count;
    WakeWorker();
  }
  return status;
}

void Engine::Impl::ReapCancelled() {
  std::vector<Finished> finished;
  {
    MutexLock lock(mutex_);
    queue_.ReapCancelled(finished);
  }
  Finish(finished);
}

bool Engine::Impl::Drain(Clock::time_point deadline) {
  std::vector<Finished> abandoned;
  {
    MutexLock lock(mutex_);
    queue_.Close();
    work_.NotifyAll();  // A batch that was waiting to become fuller leaves now.
    while (open_ > 0 && Clock::now() < deadline) done_.WaitUntil(mutex_, deadline);
    if (open_ == 0) return true;
    queue_.Abandon(abandoned);
  }
  Finish(abandoned);
  return false;
}

QueueDepth Engine::Impl::depth() const {
  MutexLock lock(mutex_);
  return queue_.depth();
}

void Engine::Impl::Work(int index, ExecutorFactory& executors) {
  Worker worker;
  worker.executor = MakeExecutor(index, executors);
  if (worker.executor == nullptr) return;
  while (Pull(worker)) {
    if (!worker.batch.jobs.empty()) RunBatch(worker);
    Finish(worker.finished);
  }
}

std::unique_ptr<Executor> Engine::Impl::MakeExecutor(int index, ExecutorFactory& executors) {
  std::unique_ptr<Executor> executor;
  const absl::Status status = Guarded([&] {
    executor = executors(index);
    return executor != nullptr ? absl::OkStatus() : absl::InternalError("there is none");
  });
  MutexLock lock(mutex_);
  if (!status.ok()) {
    status_ = absl::InternalError(
        absl::StrCat("worker ", index, " cannot make its executor: ", status.message()));
    executor = nullptr;
  }
  ++ready_;
  if (status.ok()) ++idle_;
  done_.NotifyAll();
  return executor;
}

// Waits until there is something to run or to finish. False: the engine ends.
bool Engine::Impl::Pull(Worker& worker) {
  MutexLock lock(mutex_);
  while (!stop_) {
    const Clock::time_point wake = queue_.Take(Clock::now(), idle_, worker.batch, worker.finished);
    if (!worker.batch.jobs.empty() || !worker.finished.empty()) break;
    work_.WaitUntil(mutex_, wake);
  }
  if (!worker.batch.jobs.empty()) --idle_;
  if (!queue_.empty()) WakeWorker();
  return !stop_;
}

void Engine::Impl::RunBatch(Worker& worker) {
  worker.step.clear();
  for (const std::unique_ptr<Job>& job : worker.batch.jobs) worker.step.push_back(job.get());
  BatchReport report;
  report.sequences = static_cast<int32_t>(worker.step.size());
  report.rows = worker.batch.rows;

  // Take has just found these jobs neither cancelled nor expired, on this thread.
  const Clock::time_point started = Clock::now();
  report.status = Guarded([&] { return worker.executor->Step(worker.step); });
  const Clock::time_point finished = Clock::now();
  report.compute_seconds = std::chrono::duration<double>(finished - started).count();
  {
    MutexLock lock(mutex_);
    queue_.Complete(report.status, finished, worker.batch, worker.finished);
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
// all cores.
void Engine::Impl::WakeWorker() {
  if (idle_ > 0) work_.NotifyOne();
}

Engine::Engine(Options options, ExecutorFactory executors)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(executors))) {}
Engine::~Engine() = default;

const absl::Status& Engine::status() const { return impl_->status(); }
absl::Status Engine::Submit(std::vector<std::unique_ptr<Job>>& jobs) { return impl_->Submit(jobs); }
void Engine::ReapCancelled() { impl_->ReapCancelled(); }
bool Engine::Drain(Clock::time_point deadline) { return impl_->Drain(deadline); }
QueueDepth Engine::depth() const { return impl_->depth(); }

}  // namespace attnd
