#include "core/batch/model_executor.h"

#include "core/base/check.h"
#include "core/tensor/onednn.h"

namespace attnd {

ModelExecutor::ModelExecutor(const Encoder& encoder) : encoder_(encoder), scratch_(encoder) {
  onednn::UseOneThread();
}

absl::Status ModelExecutor::Step(std::span<Job* const> batch) {
  tasks_.clear();
  for (Job* job : batch) {
    if (auto* encode = std::get_if<EncodeTask>(&job->task)) {
      tasks_.push_back(encode);
    } else if (auto* attend = std::get_if<AttendTask>(&job->task)) {
      RunAttend(*attend);
    } else if (auto* self_attention = std::get_if<SelfAttentionTask>(&job->task)) {
      RunSelfAttention(*self_attention);
    } else {
      CHECK_THAT(false);  // A job without a task: only tests of the queue make those.
    }
  }
  if (tasks_.empty()) return absl::OkStatus();
  return encoder_.Run(tasks_, scratch_);
}

}  // namespace attnd
