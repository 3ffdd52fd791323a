#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
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
#include "tests/batch/records.h"
#include "tests/batch/timeline.h"

namespace attnd {

// One seed's life of a queue in virtual time: random limits and workers, requests that arrive, are
// cancelled and expire, steps that take their time, stall, fail or end early, and a drain. The
// workers are woken as Engine wakes them and by nothing else, so that a job which the queue or the
// policy leaves behind stays behind. All that is promised is checked at every event. `QueueType`
// has Queue's functions; the tests put broken ones in its place.
template <typename QueueType>
class Simulation : private Timeline {
 public:
  Simulation(uint64_t seed, DecideFunction decide, Coverage& coverage)
      : random_(seed), coverage_(coverage) {
    batch_limits_ = RandomBatchLimits(random_);
    limits_ = RandomQueueLimits(random_);
    callers_ = random_.OneIn(2) ? 1 : random_.Between(2, 4);
    workers_.resize(static_cast<size_t>(random_.Between(1, 4)));
    queue_ = std::make_unique<QueueType>(batch_limits_, limits_, decide);
    failures_ = random_.OneIn(3);
    PlanRequests();
  }

  // What was found first; empty if all was as promised.
  std::string Run() {
    while (RunNext()) {
      CheckDepth();
      if (NothingElseNow()) CheckIdleWorkers();
    }
    if (const auto unanswered = FindUnanswered(records_); unanswered && violation_.empty()) {
      Violate(absl::StrCat("job ", *unanswered, " was never answered"));
    }
    return Violation();
  }

 private:
  struct Worker {
    Batch batch;
    std::vector<size_t> running;
    bool idle = true;
    Clock::time_point ends{};
    int64_t step = 0;  // Which step this is, so that its end is known when it was abandoned before.
    int64_t sleep = 0;  // Which sleep this is, so that an alarm for an earlier one is known.
  };

  Clock::duration Ticks(int min, int max) { return Clock::duration(random_.Between(min, max)); }
  bool IsDead(const Record& job) const { return attnd::IsDead(job, now_); }

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
    const auto priority = static_cast<Priority>(random_.Between(0, 2));
    const int32_t caller = random_.Between(1, callers_);
    for (int i = 0; i < count; ++i) {
      jobs.push_back(MakeJob(deadline, cancelled));
      jobs.back()->priority = records_.back().priority = priority;
      jobs.back()->caller = records_.back().caller = caller;
    }

    const Outlook outlook = OutlookNow();
    const Patience patience =
        PatienceOf(records_, first, outlook, queue_->cost(), limits_.wait_max, now_);
    const absl::Status status = queue_->Submit(jobs, now_, outlook);
    CheckSubmit(status, first, jobs, patience);
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

  // The simulation knows when a batch will end.
  Outlook OutlookNow() const {
    Outlook outlook{.workers = static_cast<int>(workers_.size())};
    for (const Worker& worker : workers_) {
      if (worker.idle) continue;
      outlook.running += std::chrono::duration<double>(worker.ends - now_).count();
    }
    return outlook;
  }

  // Refused for a reason or accepted within every bound; all of them or none.
  void CheckSubmit(const absl::Status& status, size_t first,
                   const std::vector<std::unique_ptr<Job>>& jobs, const Patience& patience) {
    QueueDepth more;
    bool too_long = false;
    for (size_t id = first; id < records_.size(); ++id) {
      Record& job = records_[id];
      Add(more, job, +1);
      too_long |= job.rows > batch_limits_.rows_max;
      if (job.state == JobState::kUnknown)
        job.state = status.ok() ? JobState::kWaiting : JobState::kRefused;
    }
    const bool fits = depth_.rows + more.rows <= limits_.rows_max &&
                      depth_.jobs + more.jobs <= limits_.jobs_max &&
                      depth_.bytes + more.bytes <= limits_.bytes_max;
    if (status.ok()) {
      Require(fits, "accepted more than the queue may hold");
      Require(!IsDead(records_[first]), "accepted a job that was cancelled or had expired");
      Require(!too_long, "accepted a job that fits no batch");
      Require(!draining_, "accepted a job while draining");
      Require(patience.may_accept, "accepted a job that will not be done in time");
      Require(jobs.empty(), "left jobs behind that it accepted");
      for (size_t id = first; id < records_.size(); ++id) Add(depth_, records_[id], +1);
    } else {
      ++coverage_.refusals;
      const bool for_time = status.GetPayload(kWaitTooLong) || status.GetPayload(kNotInTime);
      coverage_.refused_for_time += for_time;
      Require(for_time ? patience.may_refuse
                       : !fits || too_long || draining_ || IsDead(records_[first]),
              "refused without a reason");
      Require(jobs.size() == static_cast<size_t>(more.jobs), "took jobs that it refused");
    }
  }

  void Done(size_t id, const absl::Status& status) {
    Record& job = records_[id];
    Require(job.state != JobState::kUnknown,
            absl::StrCat("job ", id, " was answered inside Submit"));
    Require(job.state != JobState::kDone, absl::StrCat("job ", id, " was answered twice"));
    Require(job.state != JobState::kRefused, absl::StrCat("job ", id, " was refused and answered"));
    if (job.state == JobState::kWaiting) Add(depth_, job, -1);
    job.state = JobState::kDone;
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
      Require(!has_new || job.state != JobState::kWaiting || job.steps_run == 0 || IsDead(job),
              "a new job started before one in progress");
    }
    if (const auto overtaken = FindOvertaken(records_, worker.running, limits_.wait_max, now_)) {
      Violate(absl::StrCat("job ", *overtaken, " was overtaken"));
    }
    Require(rows <= batch_limits_.rows_max, absl::StrCat("a batch of ", rows, " rows"));
    Require(static_cast<int32_t>(worker.running.size()) <= batch_limits_.sequences_max,
            "too many sequences");
    Require(worker.batch.rows == rows, "a batch that miscounts its rows");
    const bool stalls = random_.OneIn(30);
    worker.ends = now_ + (stalls ? Ticks(50, 300) : Ticks(1, 1 + rows / 4));
    const int64_t step = ++worker.step;
    At(worker.ends, [this, index, step] {
      if (workers_[index].step == step) EndStep(index);
    });
    // Between two layers.
    if (random_.OneIn(2)) {
      At(now_ + (worker.ends - now_) / 2, [this, index, step] {
        if (workers_[index].step == step) AbandonStep(index);
      });
    }
  }

  void CheckStart(size_t id) {
    Record& job = records_[id];
    Require(job.state == JobState::kWaiting,
            absl::StrCat("job ", id, " started, but does not wait"));
    Require(!*job.cancelled, absl::StrCat("job ", id, " started after it was cancelled"));
    Require(job.deadline > now_, absl::StrCat("job ", id, " started after its deadline"));
    Require(job.steps_run < job.steps, absl::StrCat("job ", id, " started with no step left"));
    Require(!abandoned_, absl::StrCat("job ", id, " started after the drain had ended"));
    Add(depth_, job, -1);
    job.state = JobState::kRunning;
  }

  // Ends the step if nobody waits for it.
  void AbandonStep(size_t index) {
    Worker& worker = workers_[index];
    const bool abandoned = queue_->IsAbandoned(worker.batch, now_);
    const bool all_dead = std::all_of(worker.running.begin(), worker.running.end(),
                                      [this](size_t id) { return IsDead(records_[id]); });
    Require(abandoned == all_dead, "abandons what somebody waits for, or does not");
    if (!abandoned || !all_dead) return;
    ++coverage_.abandoned;
    ++worker.step;
    Return(index, absl::CancelledError());
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
        job.state = JobState::kWaiting;
        if (random_.OneIn(3)) worker.batch.jobs[i]->rows = job.rows = 1;
        Add(depth_, job, +1);
      }
    }
    Return(index, fails ? absl::DataLossError("as planned") : absl::OkStatus());
  }

  void Return(size_t index, const absl::Status& step) {
    Worker& worker = workers_[index];
    std::vector<Finished> finished;
    queue_->Complete(step, now_, worker.batch, finished);
    CallDone(finished);
    for (const size_t id : worker.running) {
      Require(records_[id].state != JobState::kRunning,
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
      if (job.state != JobState::kWaiting || IsDead(job)) continue;
      rows += job.rows;
      jobs += 1;
      Require(!draining_ && job.steps_run == 0 && now_ < job.submitted + batch_limits_.delay_max,
              "a worker idles while a job waits longer than it may");
    }
    Require(rows < batch_limits_.rows_max && jobs < batch_limits_.sequences_max,
            "a worker idles while a full batch waits");
  }

  Random random_;
  Coverage& coverage_;
  BatchLimits batch_limits_;
  QueueLimits limits_;
  int callers_ = 1;
  bool failures_ = false, draining_ = false, abandoned_ = false;
  std::unique_ptr<QueueType> queue_;
  std::vector<Worker> workers_;
  std::vector<Record> records_;  // By number of the job: the order of submission.
  std::map<const Job*, size_t> ids_;
  QueueDepth depth_;
};

}  // namespace attnd
