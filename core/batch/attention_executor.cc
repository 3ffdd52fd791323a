#include "core/batch/attention_executor.h"

#include "core/base/check.h"
#include "core/tensor/onednn.h"

namespace attnd {

AttentionExecutor::AttentionExecutor() { onednn::UseOneThread(); }

absl::Status AttentionExecutor::Step(std::span<Job* const> batch, Crew&) {
  for (Job* job : batch) {
    if (auto* attend = std::get_if<AttendTask>(&job->task)) {
      RunAttend(*attend);
    } else if (auto* self_attention = std::get_if<SelfAttentionTask>(&job->task)) {
      RunSelfAttention(*self_attention);
    } else {
      CHECK_THAT(false);  // Submitted to the wrong lane.
    }
  }
  return absl::OkStatus();
}

}  // namespace attnd
