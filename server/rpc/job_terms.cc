#include "server/rpc/job_terms.h"

#include "core/base/strings.h"
#include "server/validate/error.h"

namespace attnd {

void JobTerms::ApplyTo(Job& job) const {
  job.deadline = deadline;
  job.priority = priority;
  job.caller = caller;
  job.cancelled = cancelled;
}

absl::Status ReadPriority(v1::Priority wire, Priority& priority) {
  switch (wire) {
    case v1::PRIORITY_UNSPECIFIED:
    case v1::PRIORITY_NORMAL:
      priority = Priority::kNormal;
      return absl::OkStatus();
    case v1::PRIORITY_HIGH:
      priority = Priority::kHigh;
      return absl::OkStatus();
    case v1::PRIORITY_LOW:
      priority = Priority::kLow;
      return absl::OkStatus();
    default:
      return Refuse(v1::ERROR_REASON_INVALID_VALUE, "priority",
                    StrCat(static_cast<int>(wire), " is no value that this server knows"));
  }
}

}  // namespace attnd
