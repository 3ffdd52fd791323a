#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/batch/job.h"
#include "core/model/model.h"

namespace attnd {

// Runs encode tasks on a model, a batch of them as one packed batch. Owned by, and made on, one
// worker's thread.
class ModelExecutor : public Executor {
 public:
  // `encoder` must outlive this.
  explicit ModelExecutor(const Encoder& encoder);
  explicit ModelExecutor(const Model& model) : ModelExecutor(model.encoder()) {}
  absl::Status Step(std::span<Job* const> batch) override;

 private:
  const Encoder& encoder_;
  Encoder::Scratch scratch_;
  std::vector<EncodeTask*> tasks_;  // Of the current batch; kept for its capacity.
};

}  // namespace attnd
