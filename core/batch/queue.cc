#include "core/batch/queue.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <tuple>
#include <utility>

#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/batch/job_state.h"

namespace attnd {
namespace {

absl::Status Expired() { return absl::DeadlineExceededError("the deadline passed in the queue"); }

// A batch's size while several callers wait. From there on dense layers gain little
// (bench/primitives_bench), and whose turn it is waits for the batches of the others.
constexpr int64_t kSharedRows = 512;

// Why the job is not to be run at `now`; OK if it is.
absl::Status Death(const Job& job, Clock::time_point now) {
  if (IsCancelled(job)) return Cancelled();
  return job.deadline <= now ? Expired() : absl::OkStatus();
}

void CopyResults(const Task& from, Task& to) {
  const auto* computed = std::get_if<EncodeTask>(&from);
  if (computed == nullptr) return;  // A test's.
  for (const auto member : kEncodeOutputs) std::get<EncodeTask>(to).*member = computed->*member;
}

}  // namespace

void CallDone(std::vector<Finished>& finished) {
  for (Finished& one : finished) {
    if (one.computed_by != nullptr) CopyResults(one.computed_by->task, one.job->task);
    Job::Done done = std::move(one.job->done);
    std::move(done)(std::move(one.job), std::move(one.status));
  }
  finished.clear();
}

Queue::Queue(const BatchLimits& batch, const QueueLimits& limits, DecideFunction decide,
             double row_a_pair)
    : batch_limits_(batch),
      limits_(limits),
      decide_(decide),
      row_a_pair_(row_a_pair),
      cost_(row_a_pair) {
  CHECK_THAT(batch.rows_max > 0 && batch.sequences_max > 0);
}

bool Queue::HasLeader(const Job& job) const {
  return !job.key.empty() && leaders_.find(job.key) != leaders_.end();
}

Clock::time_point Queue::DueOf(const Job& job, Clock::time_point submitted) const {
  if (job.deadline - submitted <= limits_.wait_max) return job.deadline;
  return submitted + limits_.wait_max;
}

bool Queue::GoesBefore(const Job& job, const Job& other) const {
  const Clock::time_point due = DueOf(job, job.timings.submitted);
  const Clock::time_point other_due = DueOf(other, other.timings.submitted);
  return std::tie(job.priority, due) < std::tie(other.priority, other_due);
}

void Queue::SortNew() {
  if (std::exchange(sorted_, true)) return;
  std::stable_sort(waiting_.begin() + static_cast<std::ptrdiff_t>(continuing_), waiting_.end(),
                   [this](const auto& one, const auto& other) { return GoesBefore(*one, *other); });
}

// What a turn costs its caller, in rows. Not in seconds, which a lane gets to know only later.
double Queue::TurnCost(const Job& job) const {
  const Work work = WorkOf(job);
  return work.rows + row_a_pair_ * work.pairs;
}

absl::Status Queue::Submit(std::vector<std::unique_ptr<Job>>& jobs, Clock::time_point now,
                           const Outlook& outlook) {
  RETURN_IF_ERROR(Check(jobs, now, outlook));
  for (std::unique_ptr<Job>& job : jobs) {
    job->timings.submitted = now;
    if (HasLeader(*job)) {
      Share(std::move(job));
      continue;
    }
    if (!job->key.empty()) leaders_[job->key] = job.get();
    Push(std::move(job));
  }
  jobs.clear();
  return absl::OkStatus();
}

void Queue::Share(std::unique_ptr<Job> job) {
  Job* leader = leaders_[job->key];
  const auto is_leader = [leader](const auto& other) { return other.get() == leader; };
  const auto place = GoesBefore(*job, *leader)
                         ? std::find_if(waiting_.begin(), waiting_.end(), is_leader)
                         : waiting_.end();
  if (place == waiting_.end()) {  // It runs, or goes first.
    CountSharer(*job, +1);
    leader->sharers.push_back(std::move(job));
    return;
  }
  std::unique_ptr<Job> earlier = std::move(*place);
  waiting_.erase(place);
  Count(*earlier, -1);
  CountSharer(*earlier, +1);
  job->sharers = std::exchange(earlier->sharers, {});
  job->sharers.push_back(std::move(earlier));
  leaders_[job->key] = job.get();
  Push(std::move(job));
}

void Queue::ReapSharers(Clock::time_point now, std::vector<Finished>& finished) {
  if (sharers_ == 0) return;
  for (auto& [key, leader] : leaders_) {
    auto& sharers = leader->sharers;
    for (std::unique_ptr<Job>& sharer : sharers) {
      absl::Status death = Death(*sharer, now);
      if (death.ok()) continue;
      CountSharer(*sharer, -1);
      finished.push_back({std::move(sharer), std::move(death)});
    }
    std::erase(sharers, nullptr);
  }
}

std::unique_ptr<Job> Queue::TakeHeir(Job& leader) {
  const auto first = std::min_element(
      leader.sharers.begin(), leader.sharers.end(),
      [this](const auto& one, const auto& other) { return GoesBefore(*one, *other); });
  std::unique_ptr<Job> heir = std::move(*first);
  leader.sharers.erase(first);
  heir->sharers = std::exchange(leader.sharers, {});
  leaders_[heir->key] = heir.get();
  CountSharer(*heir, -1);
  return heir;
}

void Queue::Inherit(std::unique_ptr<Job>& leader, const absl::Status& death,
                    std::vector<Finished>& finished) {
  std::unique_ptr<Job> heir = TakeHeir(*leader);
  Count(*leader, -1);
  Count(*heir, +1);
  finished.push_back({std::move(leader), death});
  leader = std::move(heir);
  sorted_ = false;
}

void Queue::Drop(std::unique_ptr<Job> job, const absl::Status& why,
                 std::vector<Finished>& finished) {
  Count(*job, -1);
  FinishSharers(*job, why, finished);
  finished.push_back({std::move(job), why});
}

void Queue::FinishSharers(Job& leader, const absl::Status& status,
                          std::vector<Finished>& finished) {
  if (leader.key.empty()) return;
  leaders_.erase(leader.key);
  for (std::unique_ptr<Job>& sharer : std::exchange(leader.sharers, {})) {
    CountSharer(*sharer, -1);
    const Clock::time_point submitted = sharer->timings.submitted;
    sharer->timings = leader.timings;
    sharer->timings.submitted = submitted;
    sharer->timings.started = std::max(submitted, leader.timings.started);
    // It may have come while the step's end was on its way to the queue.
    sharer->timings.finished = std::max(sharer->timings.started, leader.timings.finished);
    sharer->timings.shared = true;
    finished.push_back({std::move(sharer), status, status.ok() ? &leader : nullptr});
  }
}

template <typename Visit>
void Queue::Sweep(Visit visit) {
  size_t kept = 0;
  size_t kept_continuing = 0;
  for (size_t i = 0; i < waiting_.size(); ++i) {
    visit(i);
    if (waiting_[i] == nullptr) continue;
    if (i < continuing_) ++kept_continuing;
    if (kept != i) waiting_[kept] = std::move(waiting_[i]);
    ++kept;
  }
  waiting_.resize(kept);
  continuing_ = kept_continuing;
}

Clock::time_point Queue::Take(Clock::time_point now, int workers_idle, Batch& batch,
                              std::vector<Finished>& finished) {
  CHECK_THAT(batch.jobs.empty());
  ReapSharers(now, finished);
  for (std::unique_ptr<Job>& job : waiting_) {
    const absl::Status death = Death(*job, now);
    if (!death.ok() && !job->sharers.empty()) Inherit(job, death, finished);
  }
  Arrange();
  BatchLimits limits = batch_limits_;
  if (closed_) limits.delay_max = {};  // Nobody else will come.
  if (turns_.several()) limits.share_max = kSharedRows;
  decide_(view_, now, limits, workers_idle, decision_);
  CHECK_THAT(decision_.verdicts.size() == waiting_.size());
  verdicts_.resize(waiting_.size());
  for (size_t i = 0; i < order_.size(); ++i) verdicts_[order_[i]] = decision_.verdicts[i];

  batch.started = now;
  batch.work = {};
  Sweep([&](size_t i) {
    if (verdicts_[i] == Verdict::kWait) return;
    Leave(verdicts_[i], std::move(waiting_[i]), now, batch, finished);
  });
  for (const std::unique_ptr<Job>& job : batch.jobs) {
    job->timings.batch_rows = batch.rows;
    job->timings.batch_sequences = static_cast<int32_t>(batch.jobs.size());
  }
  return decision_.wake;
}

void Queue::Arrange() {
  SortNew();
  order_.resize(turns_.several() ? continuing_ : waiting_.size());
  std::iota(order_.begin(), order_.end(), size_t{0});
  turns_.BeginOrder();
  while (order_.size() < waiting_.size()) {  // Class by class.
    const size_t first = order_.size();
    const Priority priority = waiting_[first]->priority;
    line_.clear();
    for (size_t i = first; i < waiting_.size() && waiting_[i]->priority == priority; ++i) {
      line_.push_back({.caller = waiting_[i]->caller, .cost = TurnCost(*waiting_[i])});
    }
    turns_.Order(line_, first, order_);
  }
  view_.clear();
  for (const size_t i : order_) {
    const Job& job = *waiting_[i];
    view_.push_back({.rows = job.rows,
                     .continuing = i < continuing_,
                     // Flags are set at any moment; sharers must not go with who leads them.
                     .cancelled = job.sharers.empty() && IsCancelled(job),
                     .deadline = job.deadline,
                     .sharers_deadline = EarliestDeadline(job.sharers),
                     .queued_at = job.timings.submitted});
  }
}

void Queue::Leave(Verdict verdict, std::unique_ptr<Job> job, Clock::time_point now, Batch& batch,
                  std::vector<Finished>& finished) {
  switch (verdict) {
    case Verdict::kRun:
      Count(*job, -1);
      if (job->timings.started == Clock::time_point{}) job->timings.started = now;
      turns_.Charge(job->caller, TurnCost(*job));
      batch.rows += job->rows;
      batch.work += WorkOf(*job);
      batch.jobs.push_back(std::move(job));
      return;
    case Verdict::kCancelled:
      return Drop(std::move(job), Cancelled(), finished);
    case Verdict::kExpired:
      return Drop(std::move(job), Expired(), finished);
    case Verdict::kWait:
      break;
  }
  CHECK_THAT(false);
}

void Queue::Complete(const absl::Status& step, Clock::time_point now, Batch& batch,
                     std::vector<Finished>& finished) {
  if (step.ok() && batch.work.rows > 0) {
    cost_.Learn(batch.work, std::chrono::duration<double>(now - batch.started).count());
  }
  for (std::unique_ptr<Job>& job : batch.jobs) {
    job->timings.finished = now;
    if (absl::IsCancelled(step)) {
      EndAbandoned(std::move(job), now, finished);
    } else if (!step.ok()) {
      // The reason goes to the operator (BatchReport), not to whoever shared the batch.
      const absl::Status failed = absl::InternalError("the computation failed");
      FinishSharers(*job, failed, finished);
      finished.push_back({std::move(job), failed});
    } else if (--job->steps <= 0) {
      FinishSharers(*job, absl::OkStatus(), finished);
      finished.push_back({std::move(job), absl::OkStatus()});
    } else if (abandoned_) {
      finished.push_back({std::move(job), ShutDown()});
    } else {
      CHECK_THAT(job->rows > 0 && job->rows <= batch_limits_.rows_max);
      Count(*job, +1);
      waiting_.insert(waiting_.begin() + static_cast<std::ptrdiff_t>(continuing_++),
                      std::move(job));
    }
  }
  batch.jobs.clear();
  batch.rows = 0;
}

bool Queue::IsAbandoned(const Batch& batch, Clock::time_point now) const {
  const auto is_dead = [now](const auto& job) { return !Death(*job, now).ok(); };
  return std::all_of(batch.jobs.begin(), batch.jobs.end(), [&](const auto& job) {
    return is_dead(job) && std::all_of(job->sharers.begin(), job->sharers.end(), is_dead);
  });
}

void Queue::EndAbandoned(std::unique_ptr<Job> job, Clock::time_point now,
                         std::vector<Finished>& finished) {
  const absl::Status death = Death(*job, now);
  CHECK_THAT(!death.ok());  // Else the executor has given up what somebody waits for.
  if (job->sharers.empty() || abandoned_) {
    FinishSharers(*job, ShutDown(), finished);  // Forgets its key, at least.
  } else {
    Push(TakeHeir(*job));
  }
  finished.push_back({std::move(job), death});
}

void Queue::ReapCancelled(std::vector<Finished>& finished) {
  // At the beginning of time nothing has expired.
  ReapSharers(Clock::time_point::min(), finished);
  Sweep([&](size_t i) {
    if (!IsCancelled(*waiting_[i])) return;
    if (waiting_[i]->sharers.empty()) {
      Drop(std::move(waiting_[i]), Cancelled(), finished);
    } else {
      Inherit(waiting_[i], Cancelled(), finished);
    }
  });
}

void Queue::Abandon(std::vector<Finished>& finished) {
  Close();
  abandoned_ = true;
  for (std::unique_ptr<Job>& job : waiting_) {
    Drop(std::move(job), ShutDown(), finished);
  }
  waiting_.clear();
  continuing_ = 0;
}

void Queue::Push(std::unique_ptr<Job> job) {
  SortNew();
  Count(*job, +1);
  const auto place = std::upper_bound(
      waiting_.begin() + static_cast<std::ptrdiff_t>(continuing_), waiting_.end(), job,
      [this](const auto& one, const auto& other) { return GoesBefore(*one, *other); });
  waiting_.insert(place, std::move(job));
}

void Queue::Count(const Job& job, int sign) {
  depth_.rows += sign * job.rows;
  if (sign > 0) {
    work_ += WorkOf(job);
    turns_.Come(job.caller);
  } else {
    work_ -= WorkOf(job);
    turns_.Go(job.caller);
  }
  depth_.jobs += sign;
  depth_.bytes += sign * static_cast<int64_t>(job.bytes);
}

void Queue::CountSharer(const Job& job, int sign) {
  sharers_ += sign;
  depth_.jobs += sign;
  depth_.bytes += sign * static_cast<int64_t>(job.bytes);
}

}  // namespace attnd
