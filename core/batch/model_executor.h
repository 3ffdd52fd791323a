#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/batch/job.h"
#include "core/model/model.h"

namespace attnd {

// Runs jobs on a model: the encode tasks of a batch as one packed batch, attention operations one
// by one. Owned by, and made on, one worker's thread.
class ModelExecutor : public Executor {
 public:
  // `model` must outlive this.
  explicit ModelExecutor(const Model& model);
  absl::Status Step(std::span<Job* const> batch) override;

 private:
  const Model& model_;
  Encoder::Scratch scratch_;
  std::vector<EncodeTask*> tasks_;  // Of the current batch; kept for its capacity.
};

}  // namespace attnd
