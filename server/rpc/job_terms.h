#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "attnd/v1/priority.pb.h"
#include "core/batch/job.h"

namespace attnd {

// What the jobs of a request get from the call that it came by.
struct JobTerms {
  Clock::time_point deadline{};
  Priority priority = Priority::kNormal;
  int32_t caller = 0;
  // Set when the client has gone.
  std::shared_ptr<const std::atomic<bool>> cancelled = nullptr;

  void ApplyTo(Job& job) const;
};

// INVALID_VALUE for a priority that this server does not know.
absl::Status ReadPriority(v1::Priority wire, Priority& priority);

}  // namespace attnd
