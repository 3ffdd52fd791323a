#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "server/rpc/service_context.h"
#include "server/rpc/unary_call.h"

namespace attnd {

// The EncodeTask jobs of one request on their way through its model's lane: submitted together, and
// one outcome when the last of them is done. Jobs whose results are kept from before are not
// submitted.
class JobsRun {
 public:
  // `bytes` is what the request keeps alive besides the jobs; all of it counts as held while this
  // lives.
  JobsRun(const ServiceContext& service, const ModelContext& model,
          std::vector<std::unique_ptr<Job>> jobs, int64_t bytes);

  // Sizes the outputs and gives the jobs to the engine: all or none. On OK, `done` is called once,
  // from whatever thread the last job ends on, or before this returns if all results were kept:
  // with OK if all jobs were computed, else with the first that failed. On error it is not called,
  // and Submit may be tried again. The run must outlive `done`.
  absl::Status Submit(const JobTerms& terms, std::function<void(absl::Status)> done);

  // Of the jobs.
  int64_t bytes() const { return bytes_; }

  // In the order that they were given in, once done with OK.
  std::span<const std::unique_ptr<Job>> jobs() const { return done_; }

 private:
  // Answers those of the waiting jobs whose results are kept.
  void TakeKept();
  void JobDone(size_t index, std::unique_ptr<Job> job, const absl::Status& status);
  // Counts `count` more jobs done; calls `done` after the last. May end this.
  void CountDone(size_t count, const absl::Status& status);

  const ServiceContext& service_;
  const ModelContext& model_;
  const int64_t bytes_;
  const HeldBytes held_;
  // What each computes, by content, where results are kept.
  std::vector<std::string> cache_keys_;
  // Until they are submitted; and their places.
  std::vector<std::unique_ptr<Job>> waiting_;
  std::vector<size_t> places_;
  std::function<void(absl::Status)> on_done_;

  absl::Mutex mutex_;
  std::vector<std::unique_ptr<Job>> done_;  // Written under mutex_ until all are done.
  size_t remaining_ ABSL_GUARDED_BY(mutex_);
  absl::Status outcome_ ABSL_GUARDED_BY(mutex_);
};

// REPLY_TOO_LARGE, or OK.
absl::Status CheckReply(const google::protobuf::Message& reply, const Limits& limits);

// Runs a plan's jobs on `model` and ends `call` with what `reply` makes of them. The plan is a
// HeadPlan.
template <typename Plan, typename Reply>
absl::Status RunPlan(UnaryCall& call, const ModelContext& model, Plan planned,
                     Reply (*reply)(const Plan&, std::span<const std::unique_ptr<Job>>,
                                    const ServedModel&)) {
  struct State {
    State(const ServiceContext& service, const ModelContext& model, Plan given)
        : plan(std::move(given)), run(service, model, std::move(plan.jobs), plan.bytes) {}
    Plan plan;
    JobsRun run;
  };
  for (const auto& input : planned.inputs) {
    model.metrics.RecordTokenize(input.tokenize_seconds);
  }
  // Shared, as UnaryCall::Keep asks for.
  auto owned = std::make_shared<State>(call.service(), model, std::move(planned));
  State* state = owned.get();
  call.Keep(std::move(owned));
  const auto done = [&call, &model, state, reply](const absl::Status& status) {
    call.Guard([&]() -> absl::Status {
      if (!status.ok()) return status;
      const Reply message = reply(state->plan, state->run.jobs(), model.served);
      absl::Status fits = CheckReply(message, model.limits);
      if (fits.ok()) call.Reply(message);
      return fits;
    });
  };
  return state->run.Submit(call.terms(), done);
}

}  // namespace attnd
