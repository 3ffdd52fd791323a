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
    auto* task = std::get_if<EncodeTask>(&job->task);
    CHECK_THAT(task != nullptr);  // Else submitted to the wrong lane.
    tasks_.push_back(task);
  }
  return encoder_.Run(tasks_, scratch_);
}

}  // namespace attnd
