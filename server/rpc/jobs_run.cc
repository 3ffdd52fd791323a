#include "server/rpc/jobs_run.h"

#include <numeric>
#include <utility>
#include <variant>

#include "core/base/status_macros.h"
#include "server/validate/request.h"

namespace attnd {
namespace {

int64_t BytesHeldBy(const std::vector<std::unique_ptr<Job>>& jobs) {
  uint64_t bytes = 0;
  for (const auto& job : jobs) bytes += job->bytes;
  return static_cast<int64_t>(bytes);
}

EncodeTask& TaskOf(Job& job) { return std::get<EncodeTask>(job.task); }

void FreeOutputs(EncodeTask& task) {
  for (const auto member : kEncodeOutputs) task.*member = {};
}

}  // namespace

JobsRun::JobsRun(const ServiceContext& service, const ModelContext& model,
                 std::vector<std::unique_ptr<Job>> jobs, int64_t bytes)
    : service_(service),
      model_(model),
      bytes_(BytesHeldBy(jobs)),
      held_(service.held_bytes, bytes_ + bytes),
      waiting_(std::move(jobs)),
      places_(waiting_.size()),
      done_(waiting_.size()),
      remaining_(waiting_.size()) {
  std::iota(places_.begin(), places_.end(), 0);
  if (!service_.share_identical && service_.cache == nullptr) return;
  for (const auto& job : waiting_) {
    std::string key = ContentKey(TaskOf(*job));
    // Models of the same version give the same results under any name.
    if (service_.cache != nullptr) cache_keys_.push_back(model_.served.info.version + key);
    if (service_.share_identical) job->key = std::move(key);
  }
}

void JobsRun::TakeKept() {
  if (service_.cache == nullptr) return;
  size_t kept = 0;
  for (size_t i = 0; i < waiting_.size(); ++i) {
    std::unique_ptr<Job>& job = waiting_[i];
    const bool found = service_.cache->Find(cache_keys_[places_[i]], TaskOf(*job));
    if (found) {
      model_.metrics.RecordLookup(true);
      const Clock::time_point now = Clock::now();
      job->timings = {.submitted = now, .started = now, .finished = now};
      job->timings.kept = true;
      absl::MutexLock lock(&mutex_);
      done_[places_[i]] = std::move(job);
      --remaining_;
    } else {
      places_[kept] = places_[i];
      std::swap(waiting_[kept++], job);
    }
  }
  waiting_.resize(kept);
  places_.resize(kept);
}

absl::Status JobsRun::Submit(const JobTerms& terms, std::function<void(absl::Status)> done) {
  on_done_ = std::move(done);
  TakeKept();
  if (waiting_.empty()) {
    CountDone(0, absl::OkStatus());
    return absl::OkStatus();
  }
  for (size_t i = 0; i < waiting_.size(); ++i) {
    Job& job = *waiting_[i];
    terms.ApplyTo(job);
    job.done = [this, place = places_[i]](std::unique_ptr<Job> finished,
                                          const absl::Status& status) {
      JobDone(place, std::move(finished), status);
    };
  }
  // Asked first, so that outputs are not allocated for nothing.
  RETURN_IF_ERROR(service_.engine.Check(model_.lane, waiting_));
  for (const auto& job : waiting_) model_.served.size_outputs(TaskOf(*job));
  // From a local, because the run may be over before the engine's Submit returns.
  std::vector<std::unique_ptr<Job>> jobs = std::move(waiting_);
  const size_t count = jobs.size();
  ModelMetrics* misses = service_.cache == nullptr ? nullptr : &model_.metrics;
  absl::Status status = service_.engine.Submit(model_.lane, jobs);
  if (status.ok()) {
    // Not before, since what is refused now may be submitted again.
    for (size_t i = 0; misses != nullptr && i < count; ++i) misses->RecordLookup(false);
    return status;
  }
  for (const auto& job : jobs) FreeOutputs(TaskOf(*job));
  waiting_ = std::move(jobs);
  return status;
}

void JobsRun::JobDone(size_t index, std::unique_ptr<Job> job, const absl::Status& status) {
  if (status.ok()) {
    model_.metrics.RecordJob(job->timings);
    if (service_.cache != nullptr && !job->timings.shared) {
      service_.cache->Insert(cache_keys_[index], TaskOf(*job));
    }
  }
  {
    absl::MutexLock lock(&mutex_);
    done_[index] = std::move(job);
  }
  CountDone(1, status);
}

void JobsRun::CountDone(size_t count, const absl::Status& status) {
  absl::Status outcome;
  {
    absl::MutexLock lock(&mutex_);
    outcome_.Update(status);
    remaining_ -= count;
    if (remaining_ > 0) return;
    outcome = outcome_;
  }
  const auto on_done = std::move(on_done_);
  on_done(std::move(outcome));  // May end this.
}

absl::Status CheckReply(const google::protobuf::Message& reply, const Limits& limits) {
  return CheckReplyBytes(static_cast<int64_t>(reply.ByteSizeLong()), limits, "");
}

}  // namespace attnd
