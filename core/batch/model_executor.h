#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/batch/job.h"
#include "core/model/encoder.h"

namespace attnd {

// Runs encode tasks on a model, a batch of them as one packed batch. Owned by, and made on, one
// worker's thread.
class ModelExecutor : public Executor {
 public:
  // The workspaces of a lane's executors by worker: a part of a batch is computed in that of
  // whoever computes it. An executor adds its own.
  using Workspaces = std::vector<Workspace*>;

  // `encoder` must outlive this.
  ModelExecutor(const Encoder& encoder, int worker, std::shared_ptr<Workspaces> workspaces);
  absl::Status Step(std::span<Job* const> batch, Crew& crew) override;
  // A pass over a few tokens, which costs several times a later one: code that has not run, and
  // oneDNN's and the workspace's first memory.
  absl::Status WarmUp() override;
  bool splits() const override { return true; }

 private:
  const Encoder& encoder_;
  Encoder::Scratch scratch_;
  const std::shared_ptr<Workspaces> workspaces_;
  std::vector<EncodeTask*> tasks_;  // Of the current batch; kept for its capacity.
};

// What makes the executors of a lane. `encoder` must outlive the engine.
ExecutorFactory ModelExecutors(const Encoder& encoder);

}  // namespace attnd
