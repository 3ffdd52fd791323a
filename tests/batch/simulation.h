#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/batch/queue.h"
#include "tests/batch/random.h"

namespace attnd {

// What a run did, so that a test can tell that the seeds reach what they are meant to reach.
struct Coverage {
  int64_t submits = 0, refusals = 0, batches = 0, steps = 0, splits = 0, delays = 0;
  int64_t ok = 0, cancelled = 0, expired = 0, failed = 0, unavailable = 0;
};

// One seed's life of a queue in virtual time: random limits and workers, requests that arrive, are
// cancelled and expire, steps that take their time, stall, fail or end early, and a drain. The
// workers are woken as Engine wakes them and by nothing else, so that a job which the queue or the
// policy leaves behind stays behind. All that is promised is checked at every event. `QueueType`
// has Queue's functions; the tests put broken ones in its place.
template <typename QueueType>
class Simulation {
 public:
  Simulation(uint64_t seed, DecideFunction decide, Coverage& coverage)
      : random_(seed), coverage_(coverage) {
    batch_limits_ = {.rows_max = random_.Between(8, 64),
                     .sequences_max = random_.Between(1, 8),
                     .delay_max = random_.OneIn(2) ? Clock::duration(0) : Ticks(1, 20)};
    limits_ = {.rows_max = random_.Between(32, 256),
               .jobs_max = random_.Between(4, 32),
               .bytes_max = random_.Between(100, 1000)};
    workers_.resize(static_cast<size_t>(random_.Between(1, 4)));
    queue_ = std::make_unique<QueueType>(batch_limits_, limits_, decide);
    failures_ = random_.OneIn(3);
    PlanRequests();
  }

  // What was found first; empty if all was as promised.
  std::string Run() {
    while (!events_.empty() && violation_.empty()) {
      auto first = events_.extract(events_.begin());
      now_ = first.key();
      first.mapped()();
      CheckDepth();
      if (events_.empty() || events_.begin()->first > now_) CheckIdleWorkers();
    }
    if (violation_.empty()) CheckEnd();
    return violation_.empty()
               ? ""
               : absl::StrCat("at tick ", now_.time_since_epoch().count(), ": ", violation_);
  }

 private:
  enum class State { kUnknown, kRefused, kWaiting, kRunning, kDone };
  struct Record {
    State state = State::kUnknown;
    int32_t rows = 0, steps = 0;
    int64_t bytes = 0;
    Clock::time_point deadline, submitted;
    std::shared_ptr<std::atomic<bool>> cancelled;
    int32_t steps_run = 0;
    bool failed = false;
  };
  struct Worker {
    Batch batch;
    std::vector<size_t> running;
    bool idle = true;
    int64_t sleep = 0;  // Which sleep this is, so that an alarm for an earlier one is known.
  };

  Clock::duration Ticks(int min, int max) { return Clock::duration(random_.Between(min, max)); }
  void At(Clock::time_point time, std::function<void()> event) {
    events_.emplace(time, std::move(event));
  }
  void Violate(const std::string& what) {
    if (violation_.empty()) violation_ = what;
  }
  void Require(bool holds, const std::string& what) {
    if (!holds) Violate(what);
  }
  bool IsDead(const Record& job) const { return *job.cancelled || job.deadline <= now_; }

  void PlanRequests() {
    const int requests = random_.Between(1, 30);
    const int pace = random_.Between(1, 20);
    Clock::time_point time = now_;
    for (int i = 0; i < requests; ++i) {
      time += Ticks(0, pace);
      At(time, [this] { SubmitRequest(); });
    }
    if (random_.OneIn(2)) {
      At(time - (time - now_) / random_.Between(1, 4), [this] { Drain(); });
    }
  }

  void SubmitRequest() {
    ++coverage_.submits;
    auto cancelled = std::make_shared<std::atomic<bool>>(random_.OneIn(40));
    const Clock::time_point deadline =
        random_.OneIn(3) ? now_ + Ticks(0, 60) : Clock::time_point::max();
    std::vector<std::unique_ptr<Job>> jobs;
    const size_t first = records_.size();
    const int count = random_.OneIn(4) ? random_.Between(2, 12) : 1;
    for (int i = 0; i < count; ++i) jobs.push_back(MakeJob(deadline, cancelled));

    const absl::Status status = queue_->Submit(jobs, now_);
    CheckSubmit(status, first, jobs);
    if (!status.ok()) return;
    if (random_.OneIn(5)) {
      At(now_ + Ticks(0, 40), [this, cancelled, reap = random_.OneIn(2)] {
        *cancelled = true;
        if (!reap) return;
        std::vector<Finished> finished;
        queue_->ReapCancelled(finished);
        CallDone(finished);
      });
    }
    WakeOne();
  }

  std::unique_ptr<Job> MakeJob(Clock::time_point deadline,
                               std::shared_ptr<std::atomic<bool>> cancelled) {
    const size_t id = records_.size();
    auto job = std::make_unique<Job>();
    job->rows = random_.OneIn(200) ? batch_limits_.rows_max + 1
                                   : random_.Between(1, batch_limits_.rows_max);
    if (random_.OneIn(2)) job->rows = 1 + job->rows / 8;
    job->steps = random_.OneIn(2) ? 1 : random_.Between(1, 5);
    job->bytes = static_cast<uint64_t>(random_.Between(0, 60));
    job->deadline = deadline;
    job->cancelled = cancelled;
    job->done = [this, id](std::unique_ptr<Job>, const absl::Status& status) { Done(id, status); };
    records_.push_back({.rows = job->rows,
                        .steps = job->steps,
                        .bytes = static_cast<int64_t>(job->bytes),
                        .deadline = deadline,
                        .submitted = now_,
                        .cancelled = std::move(cancelled)});
    ids_[job.get()] = id;
    return job;
  }

  // Refused for a reason or accepted within every bound; all of them or none.
  void CheckSubmit(const absl::Status& status, size_t first,
                   const std::vector<std::unique_ptr<Job>>& jobs) {
    QueueDepth more;
    bool too_long = false;
    for (size_t id = first; id < records_.size(); ++id) {
      Record& job = records_[id];
      more.rows += job.rows;
      more.jobs += 1;
      more.bytes += job.bytes;
      too_long |= job.rows > batch_limits_.rows_max;
      if (job.state == State::kUnknown) job.state = status.ok() ? State::kWaiting : State::kRefused;
    }
    const bool fits = depth_.rows + more.rows <= limits_.rows_max &&
                      depth_.jobs + more.jobs <= limits_.jobs_max &&
                      depth_.bytes + more.bytes <= limits_.bytes_max;
    if (status.ok()) {
      Require(fits, "accepted more than the queue may hold");
      Require(!IsDead(records_[first]), "accepted a job that was cancelled or had expired");
      Require(!too_long, "accepted a job that fits no batch");
      Require(!draining_, "accepted a job while draining");
      Require(jobs.empty(), "left jobs behind that it accepted");
      depth_.rows += more.rows;
      depth_.jobs += more.jobs;
      depth_.bytes += more.bytes;
    } else {
      ++coverage_.refusals;
      Require(!fits || too_long || draining_ || IsDead(records_[first]),
              "refused without a reason");
      Require(jobs.size() == static_cast<size_t>(more.jobs), "took jobs that it refused");
    }
  }

  void Done(size_t id, const absl::Status& status) {
    Record& job = records_[id];
    Require(job.state != State::kUnknown, absl::StrCat("job ", id, " was answered inside Submit"));
    Require(job.state != State::kDone, absl::StrCat("job ", id, " was answered twice"));
    Require(job.state != State::kRefused, absl::StrCat("job ", id, " was refused and answered"));
    if (job.state == State::kWaiting) Leave(job);
    job.state = State::kDone;
    switch (status.code()) {
      case absl::StatusCode::kOk:
        ++coverage_.ok;
        Require(job.steps_run == job.steps && !job.failed, "OK for a job that did not run");
        return;
      case absl::StatusCode::kCancelled:
        ++coverage_.cancelled;
        return Require(*job.cancelled, "kCancelled for a job that was not");
      case absl::StatusCode::kDeadlineExceeded:
        ++coverage_.expired;
        return Require(job.deadline <= now_, "kDeadlineExceeded before the deadline");
      case absl::StatusCode::kInternal:
        ++coverage_.failed;
        return Require(job.failed, "kInternal for a job that did not fail");
      case absl::StatusCode::kUnavailable:
        ++coverage_.unavailable;
        return Require(abandoned_, "kUnavailable while there was time");
      default:
        return Violate(absl::StrCat("unknown answer ", status.ToString()));
    }
  }

  void Leave(const Record& job) {
    depth_.rows -= job.rows;
    depth_.jobs -= 1;
    depth_.bytes -= job.bytes;
  }

  // As Engine: one worker is woken, and wakes the next if it leaves something behind.
  void WakeOne() {
    std::vector<size_t> idle;
    for (size_t i = 0; i < workers_.size(); ++i) {
      if (workers_[i].idle) idle.push_back(i);
    }
    if (!idle.empty()) Pull(idle[random_.Next() % idle.size()]);
  }

  void Pull(size_t index) {
    Worker& worker = workers_[index];
    worker.idle = true;
    const auto idle =
        std::count_if(workers_.begin(), workers_.end(), [](const Worker& w) { return w.idle; });
    while (violation_.empty()) {
      std::vector<Finished> finished;
      const Clock::time_point wake =
          queue_->Take(now_, static_cast<int>(idle), worker.batch, finished);
      const bool found = !worker.batch.jobs.empty() || !finished.empty();
      if (!worker.batch.jobs.empty()) StartStep(index, static_cast<int>(idle));
      CallDone(finished);
      if (!found) Sleep(index, wake);
      if (!found || !worker.idle) break;
    }
    if (!worker.idle && !queue_->empty()) WakeOne();
  }

  void Sleep(size_t index, Clock::time_point wake) {
    const int64_t sleep = ++workers_[index].sleep;
    if (wake == Clock::time_point::max()) return;
    ++coverage_.delays;
    if (wake <= now_) return Violate("a worker that finds nothing to do is to ask again at once");
    At(wake, [this, index, sleep] {
      if (workers_[index].idle && workers_[index].sleep == sleep) Pull(index);
    });
  }

  void StartStep(size_t index, int idle) {
    Worker& worker = workers_[index];
    worker.idle = false;
    worker.running.clear();
    ++coverage_.batches;
    coverage_.splits += idle > 1 && !queue_->empty();
    int32_t rows = 0;
    bool has_new = false;
    for (const std::unique_ptr<Job>& pointer : worker.batch.jobs) {
      const size_t id = ids_.at(pointer.get());
      rows += records_[id].rows;
      has_new |= records_[id].steps_run == 0;
      worker.running.push_back(id);
      CheckStart(id);
    }
    for (const Record& job : records_) {
      Require(!has_new || job.state != State::kWaiting || job.steps_run == 0 || IsDead(job),
              "a new job started before one in progress");
    }
    Require(rows <= batch_limits_.rows_max, absl::StrCat("a batch of ", rows, " rows"));
    Require(static_cast<int32_t>(worker.running.size()) <= batch_limits_.sequences_max,
            "too many sequences");
    Require(worker.batch.rows == rows, "a batch that miscounts its rows");
    const bool stalls = random_.OneIn(30);
    At(now_ + (stalls ? Ticks(50, 300) : Ticks(1, 1 + rows / 4)),
       [this, index] { EndStep(index); });
  }

  void CheckStart(size_t id) {
    Record& job = records_[id];
    Require(job.state == State::kWaiting, absl::StrCat("job ", id, " started, but does not wait"));
    Require(!*job.cancelled, absl::StrCat("job ", id, " started after it was cancelled"));
    Require(job.deadline > now_, absl::StrCat("job ", id, " started after its deadline"));
    Require(job.steps_run < job.steps, absl::StrCat("job ", id, " started with no step left"));
    Require(!abandoned_, absl::StrCat("job ", id, " started after the drain had ended"));
    if (job.steps_run == 0) {
      Require(id >= started_, absl::StrCat("job ", id, " was overtaken by job ", started_));
      started_ = id;
    }
    Leave(job);
    job.state = State::kRunning;
  }
  void EndStep(size_t index) {
    Worker& worker = workers_[index];
    const bool fails = failures_ && random_.OneIn(6);
    for (size_t i = 0; i < worker.running.size(); ++i) {
      Record& job = records_[worker.running[i]];
      ++coverage_.steps;
      job.failed = fails;
      ++job.steps_run;
      if (random_.OneIn(10)) {  // As an executor may.
        worker.batch.jobs[i]->steps = 1;
        job.steps = job.steps_run;
      }
      if (job.steps_run < job.steps && !fails && !abandoned_) {
        job.state = State::kWaiting;
        if (random_.OneIn(3)) worker.batch.jobs[i]->rows = job.rows = 1;
        depth_.rows += job.rows;
        depth_.jobs += 1;
        depth_.bytes += job.bytes;
      }
    }
    std::vector<Finished> finished;
    const absl::Status step = fails ? absl::DataLossError("as planned") : absl::OkStatus();
    queue_->Complete(step, now_, worker.batch, finished);
    CallDone(finished);
    for (const size_t id : worker.running) {
      Require(records_[id].state != State::kRunning,
              absl::StrCat("job ", id, " ended without an answer"));
    }
    Pull(index);
  }

  void Drain() {
    draining_ = true;
    queue_->Close();
    for (size_t i = 0; i < workers_.size(); ++i) {
      if (workers_[i].idle) Pull(i);
    }
    if (random_.OneIn(2)) return;
    At(now_ + Ticks(0, 60), [this] {
      abandoned_ = true;
      std::vector<Finished> finished;
      queue_->Abandon(finished);
      CallDone(finished);
    });
  }

  // The counts agree, and the queue is within its bounds.
  void CheckDepth() {
    const QueueDepth& depth = queue_->depth();
    Require(depth.rows == depth_.rows && depth.jobs == depth_.jobs && depth.bytes == depth_.bytes,
            "the queue miscounts what waits");
    const auto workers = static_cast<int64_t>(workers_.size());
    Require(depth.rows <= limits_.rows_max + workers * batch_limits_.rows_max &&
                depth.jobs <= limits_.jobs_max + workers * batch_limits_.sequences_max,
            "the queue holds more than its bounds and a batch for each worker");
  }

  // When all that happens at one moment has happened, nobody idles while a job could run.
  void CheckIdleWorkers() {
    if (std::none_of(workers_.begin(), workers_.end(), [](const Worker& w) { return w.idle; }))
      return;
    int64_t rows = 0, jobs = 0;
    for (const Record& job : records_) {
      if (job.state != State::kWaiting || IsDead(job)) continue;
      rows += job.rows;
      jobs += 1;
      Require(!draining_ && job.steps_run == 0 && now_ < job.submitted + batch_limits_.delay_max,
              "a worker idles while a job waits longer than it may");
    }
    Require(rows < batch_limits_.rows_max && jobs < batch_limits_.sequences_max,
            "a worker idles while a full batch waits");
  }

  void CheckEnd() {
    for (size_t id = 0; id < records_.size(); ++id) {
      const State state = records_[id].state;
      Require(state == State::kDone || state == State::kRefused,
              absl::StrCat("job ", id, " was never answered"));
    }
  }

  Random random_;
  Coverage& coverage_;
  BatchLimits batch_limits_;
  QueueLimits limits_;
  bool failures_ = false;
  std::unique_ptr<QueueType> queue_;
  std::vector<Worker> workers_;
  std::vector<Record> records_;  // By number of the job: the order of submission.
  std::map<const Job*, size_t> ids_;
  QueueDepth depth_;
  size_t started_ = 0;  // The last new job that was started.
  bool draining_ = false, abandoned_ = false;
  Clock::time_point now_{Clock::duration(1000)};
  std::multimap<Clock::time_point, std::function<void()>>
      events_;  // Equal times in order of planning.
  std::string violation_;
};

}  // namespace attnd
