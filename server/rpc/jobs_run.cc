#include "server/rpc/jobs_run.h"

#include <variant>

#include "server/validate/request.h"

namespace attnd {
namespace {

int64_t BytesOf(const std::vector<std::unique_ptr<Job>>& jobs) {
  uint64_t bytes = 0;
  for (const auto& job : jobs) bytes += job->bytes;
  return static_cast<int64_t>(bytes);
}

// Whether the queue has room now, so that outputs are not allocated for nothing.
bool FitsQueue(const std::vector<std::unique_ptr<Job>>& jobs, const ServiceContext& service) {
  QueueDepth depth = service.engine.depth();
  depth.bytes += BytesOf(jobs);
  depth.jobs += static_cast<int64_t>(jobs.size());
  for (const auto& job : jobs) depth.rows += job->rows;
  const Limits& limits = service.limits;
  return depth.jobs <= limits.queue_requests && depth.rows <= limits.queue_tokens &&
         depth.bytes <= limits.queue_bytes;
}

}  // namespace

JobsRun::JobsRun(const ServiceContext& service, std::vector<std::unique_ptr<Job>> jobs,
                 int64_t bytes)
    : service_(service),
      jobs_(std::move(jobs)),
      held_(service.held_bytes, BytesOf(jobs_) + bytes),
      done_(jobs_.size()),
      remaining_(jobs_.size()) {}

absl::Status JobsRun::Submit(const UnaryCall& call, std::function<void(absl::Status)> done) {
  if (!FitsQueue(jobs_, service_)) return absl::ResourceExhaustedError("the queue is full");
  on_done_ = std::move(done);
  for (size_t i = 0; i < jobs_.size(); ++i) {
    Job& job = *jobs_[i];
    service_.model.size_outputs(std::get<EncodeTask>(job.task));
    job.deadline = call.deadline();
    job.cancelled = call.cancelled();
    job.done = [this, i](std::unique_ptr<Job> finished, const absl::Status& status) {
      JobDone(i, std::move(finished), status);
    };
  }
  // From a local, because the run may be over before the engine's Submit returns.
  std::vector<std::unique_ptr<Job>> jobs = std::move(jobs_);
  return service_.engine.Submit(jobs);
}

void JobsRun::JobDone(size_t index, std::unique_ptr<Job> job, const absl::Status& status) {
  if (status.ok()) service_.metrics.RecordJob(job->timings);
  absl::Status outcome;
  {
    absl::MutexLock lock(&mutex_);
    status_.Update(status);
    done_[index] = std::move(job);
    if (--remaining_ > 0) return;
    outcome = status_;
  }
  const auto on_done = std::move(on_done_);
  on_done(std::move(outcome));  // May end this.
}

absl::Status CheckReply(const google::protobuf::Message& reply, const Limits& limits) {
  return CheckReplyBytes(static_cast<int64_t>(reply.ByteSizeLong()), limits, "");
}

}  // namespace attnd
