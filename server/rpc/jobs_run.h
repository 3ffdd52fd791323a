#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "server/rpc/service_context.h"
#include "server/rpc/unary_call.h"

namespace attnd {

// The EncodeTask jobs of one unary call on their way through the engine: submitted together, and
// one outcome when the last of them is done.
class JobsRun {
 public:
  // `bytes` is what the call keeps alive besides the jobs; all of it counts as held while this
  // lives.
  JobsRun(const ServiceContext& service, std::vector<std::unique_ptr<Job>> jobs, int64_t bytes);

  // Sizes the outputs and gives the jobs to the engine: all or none. On OK, `done` is called once,
  // from whatever thread the last job ends on: with OK if all jobs were computed, else with the
  // first that failed. On error it is not called. The run must outlive `done`.
  absl::Status Submit(const UnaryCall& call, std::function<void(absl::Status)> done);

  // In the order that they were given in, once done with OK.
  std::span<const std::unique_ptr<Job>> jobs() const { return done_; }

 private:
  void JobDone(size_t index, std::unique_ptr<Job> job, const absl::Status& status);

  const ServiceContext& service_;
  std::vector<std::unique_ptr<Job>> jobs_;  // Until they are submitted.
  const HeldBytes held_;
  std::function<void(absl::Status)> on_done_;

  absl::Mutex mutex_;
  std::vector<std::unique_ptr<Job>> done_;  // Written under mutex_ until all are done.
  size_t remaining_ ABSL_GUARDED_BY(mutex_);
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

// REPLY_TOO_LARGE, or OK.
absl::Status CheckReply(const google::protobuf::Message& reply, const Limits& limits);

// Runs a plan's jobs and ends `call` with what `reply` makes of them. The plan is a HeadPlan.
template <typename Plan, typename Reply>
absl::Status RunPlan(UnaryCall& call, Plan planned,
                     Reply (*reply)(const Plan&, std::span<const std::unique_ptr<Job>>,
                                    const ServedModel&)) {
  struct State {
    State(const ServiceContext& service, Plan given)
        : plan(std::move(given)), run(service, std::move(plan.jobs), plan.bytes) {}
    Plan plan;
    JobsRun run;
  };
  for (const auto& input : planned.inputs) {
    call.service().metrics.RecordTokenize(input.tokenize_seconds);
  }
  // Shared, as UnaryCall::Keep asks for.
  auto owned = std::make_shared<State>(call.service(), std::move(planned));
  State* state = owned.get();
  call.Keep(std::move(owned));
  return state->run.Submit(call, [&call, state, reply](const absl::Status& status) {
    call.Guard([&]() -> absl::Status {
      if (!status.ok()) return status;
      const ServiceContext& service = call.service();
      const Reply message = reply(state->plan, state->run.jobs(), service.model);
      absl::Status fits = CheckReply(message, service.limits);
      if (fits.ok()) call.Reply(message);
      return fits;
    });
  });
}

}  // namespace attnd
