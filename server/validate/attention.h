#pragma once

#include "absl/status/statusor.h"
#include "attnd/v1/attention.pb.h"
#include "core/layers/attend.h"
#include "core/layers/self_attention.h"
#include "server/validate/limits.h"

namespace attnd {

// Turn a request into a task, or say which of its fields is wrong. Shapes, work (scores and
// floating-point operations) and the reply's size are checked before any number is copied.
absl::StatusOr<AttendTask> PlanAttend(const v1::AttendRequest& request, const Limits& limits);
absl::StatusOr<SelfAttentionTask> PlanSelfAttention(const v1::SelfAttentionRequest& request,
                                                    const Limits& limits);

// The floats that a task's inputs and outputs hold, in bytes.
uint64_t TaskBytes(const AttendTask& task);
uint64_t TaskBytes(const SelfAttentionTask& task);

// The token rows that a task counts for in a batch: its own, or its part of the largest call that
// the limits allow times `limits.batch_tokens`, whichever is more. So a batch takes no longer than
// about one largest call, and its jobs can expire or be cancelled between batches.
int32_t BatchRows(const AttendTask& task, const Limits& limits);
int32_t BatchRows(const SelfAttentionTask& task, const Limits& limits);

}  // namespace attnd
