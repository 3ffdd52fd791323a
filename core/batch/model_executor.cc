#include "core/batch/model_executor.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/tensor/onednn.h"
#include "core/tensor/team.h"

namespace attnd {
namespace {

constexpr int32_t kWarmTokens = 16;

// A crew whose members have workspaces.
class ModelTeam : public Team {
 public:
  ModelTeam(Crew& crew, const ModelExecutor::Workspaces& workspaces)
      : crew_(crew), workspaces_(workspaces) {}
  int size() const override { return crew_.size(); }
  void For(int64_t count, Part part) override {
    crew_.For(count, [&](int64_t index, int member) {
      part(index, *workspaces_[static_cast<size_t>(member)]);
    });
  }
  bool abandoned() const override { return crew_.abandoned(); }

 private:
  Crew& crew_;
  const ModelExecutor::Workspaces& workspaces_;
};

}  // namespace

ModelExecutor::ModelExecutor(const Encoder& encoder, int worker,
                             std::shared_ptr<Workspaces> workspaces)
    : encoder_(encoder), scratch_(encoder), workspaces_(std::move(workspaces)) {
  onednn::UseOneThread();
  const auto place = static_cast<size_t>(worker);
  workspaces_->resize(std::max(workspaces_->size(), place + 1));
  (*workspaces_)[place] = &scratch_.workspace();
}

absl::Status ModelExecutor::WarmUp() {
  EncodeTask task;
  task.ids.resize(static_cast<size_t>(std::min(kWarmTokens, encoder_.arch().length_max)));
  task.pooling = Pooling::kMean;
  task.pooled_out.resize(static_cast<size_t>(encoder_.arch().hidden));
  EncodeTask* const tasks[] = {&task};
  return encoder_.Run(tasks, scratch_);
}

absl::Status ModelExecutor::Step(std::span<Job* const> batch, Crew& crew) {
  tasks_.clear();
  for (Job* job : batch) {
    auto* task = std::get_if<EncodeTask>(&job->task);
    CHECK_THAT(task != nullptr);  // Else submitted to the wrong lane.
    tasks_.push_back(task);
  }
  ModelTeam team(crew, *workspaces_);
  return encoder_.Run(tasks_, scratch_, team);
}

ExecutorFactory ModelExecutors(const Encoder& encoder) {
  // The engine makes them one after the other, and runs none before it has all.
  return [&encoder, workspaces = std::make_shared<ModelExecutor::Workspaces>()](int worker) {
    return std::make_unique<ModelExecutor>(encoder, worker, workspaces);
  };
}

}  // namespace attnd
