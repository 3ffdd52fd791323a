#pragma once

#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "core/batch/engine.h"
#include "core/batch/queue.h"

namespace attnd {

// What belongs to one worker of an Engine: made by and used on its thread. The vectors keep their
// capacity from batch to batch.
struct Worker {
  int index = 0;
  std::vector<std::unique_ptr<Executor>> executors;  // By lane.
  // Of the batch: its lane, and whether others may help.
  int lane = 0;
  bool split = false;
  Batch batch;
  std::vector<Job*> step;
  std::vector<Finished> finished;

  // What a factory throws is an error too, and so is null.
  absl::Status MakeExecutors(std::span<Engine::Lane> lanes);
  absl::Status WarmUp();
};

}  // namespace attnd
