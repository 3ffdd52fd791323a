#pragma once

#include <span>

#include "core/batch/job.h"

namespace attnd {

// Runs attention operations on the caller's own tensors, one by one. It needs no model.
class AttentionExecutor : public Executor {
 public:
  AttentionExecutor();
  absl::Status Step(std::span<Job* const> batch, Crew& crew) override;
};

}  // namespace attnd
