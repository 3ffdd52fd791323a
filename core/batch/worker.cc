#include "core/batch/worker.h"

#include "core/base/status_macros.h"
#include "core/batch/guarded.h"

namespace attnd {

absl::Status Worker::MakeExecutors(std::span<Engine::Lane> lanes) {
  return Guarded([&] {
    for (Engine::Lane& one : lanes) {
      executors.push_back(one.executors(index));
      if (executors.back() == nullptr) return absl::InternalError("there is none");
    }
    return absl::OkStatus();
  });
}

absl::Status Worker::WarmUp() {
  return Guarded([&] {
    for (const auto& executor : executors) RETURN_IF_ERROR(executor->WarmUp());
    return absl::OkStatus();
  });
}

}  // namespace attnd
