#include "server/rpc/attention_service.h"

#include <array>
#include <memory>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "server/rpc/unary_call.h"
#include "server/validate/attention.h"
#include "server/validate/error.h"
#include "server/validate/tensor.h"

namespace attnd {
namespace {

v1::AttendResponse ReplyTo(const AttendTask& task) {
  v1::AttendResponse response;
  WriteFloats(task.output,
              std::array{task.batch, task.query_heads, task.query_length, task.value_size},
              *response.mutable_output());
  if (task.return_weights) {
    WriteFloats(task.weights,
                std::array{task.batch, task.query_heads, task.query_length, task.key_length},
                *response.mutable_weights());
  }
  return response;
}

v1::SelfAttentionResponse ReplyTo(const SelfAttentionTask& task) {
  v1::SelfAttentionResponse response;
  WriteFloats(task.output, std::array{task.rows, task.output_size}, *response.mutable_output());
  if (task.return_scores) {
    const std::array shape{static_cast<int64_t>(task.heads), task.rows, task.rows};
    WriteFloats(task.scores, shape, *response.mutable_scores());
    WriteFloats(task.weights, shape, *response.mutable_weights());
  }
  return response;
}

// `field` is to blame if the task is too large.
template <typename TaskType>
absl::Status Submit(UnaryCall& call, TaskType task, std::string_view field) {
  const Limits& limits = call.service().limits;
  auto job = std::make_unique<Job>();
  job->rows = BatchRows(task, limits);
  job->bytes = TaskBytes(task);
  if (job->bytes > static_cast<uint64_t>(limits.queue_bytes)) {
    return Refuse(v1::ERROR_REASON_OVER_LIMIT, field,
                  StrCat(job->bytes, " bytes are more than the queue ever takes, ",
                         limits.queue_bytes, " (queue-bytes)"));
  }
  call.Keep(
      std::make_shared<HeldBytes>(call.service().held_bytes, static_cast<int64_t>(job->bytes)));
  call.terms().ApplyTo(*job);
  job->task = std::move(task);
  job->done = [&call](std::unique_ptr<Job> finished, const absl::Status& status) {
    const ServiceContext& service = call.service();
    if (status.ok()) service.metrics.of_lane(service.attention_lane).RecordJob(finished->timings);
    call.Guard([&] {
      if (status.ok()) call.Reply(ReplyTo(std::get<TaskType>(finished->task)));
      return status;
    });
  };
  std::vector<std::unique_ptr<Job>> jobs;
  jobs.push_back(std::move(job));
  return call.service().engine.Submit(call.service().attention_lane, jobs);
}

absl::Status HandleAttend(UnaryCall& call, const v1::AttendRequest& request) {
  RETURN_IF_ERROR(call.CheckRoom());
  ASSIGN_OR_RETURN(AttendTask task, PlanAttend(request, call.service().limits));
  return Submit(call, std::move(task), "query");
}

absl::Status HandleSelfAttention(UnaryCall& call, const v1::SelfAttentionRequest& request) {
  RETURN_IF_ERROR(call.CheckRoom());
  ASSIGN_OR_RETURN(SelfAttentionTask task, PlanSelfAttention(request, call.service().limits));
  return Submit(call, std::move(task), "input");
}

}  // namespace

grpc::ServerUnaryReactor* AttentionServiceImpl::Attend(grpc::CallbackServerContext* context,
                                                       const grpc::ByteBuffer* request,
                                                       grpc::ByteBuffer* reply) {
  return UnaryCall::Start<v1::AttendRequest>(service_, Method::kAttend, context, request, reply,
                                             &HandleAttend);
}

grpc::ServerUnaryReactor* AttentionServiceImpl::SelfAttention(grpc::CallbackServerContext* context,
                                                              const grpc::ByteBuffer* request,
                                                              grpc::ByteBuffer* reply) {
  return UnaryCall::Start<v1::SelfAttentionRequest>(service_, Method::kSelfAttention, context,
                                                    request, reply, &HandleSelfAttention);
}

}  // namespace attnd
