#include "server/rpc/unary_call.h"

#include <chrono>
#include <string>
#include <utility>

#include "core/base/strings.h"
#include "server/rpc/guard.h"
#include "server/rpc/message.h"
#include "server/validate/error.h"

namespace attnd {
namespace {

// gRPC's name for how long a refused client should wait before it tries again.
constexpr char kRetryPushback[] = "grpc-retry-pushback-ms";

// All methods but those that ask for health: kubelets and proxies have no key.
bool NeedsKey(Method method) { return method != Method::kCheck; }

}  // namespace

UnaryCall::UnaryCall(const ServiceContext& service, Method method,
                     grpc::CallbackServerContext* context, grpc::ByteBuffer* reply)
    : service_(service),
      method_(method),
      metrics_(&service.metrics.of_lane(service.attention_lane)),
      context_(context),
      reply_(reply),
      started_(Clock::now()),
      cancelled_(std::make_shared<std::atomic<bool>>(false)),
      terms_{.deadline = JobDeadline(context->deadline(), service.limits),
             .cancelled = cancelled_} {
  service_.metrics.RequestStarted();
}

absl::Status UnaryCall::LetIn() {
  if (!NeedsKey(method_)) return absl::OkStatus();
  ASSIGN_OR_RETURN(entrant_, Enter(service_, *context_));
  terms_.caller = entrant_.number();
  auto place = TakePlace(service_, entrant_);
  if (!place.ok()) {
    service_.metrics.CallerRejected(entrant_.number());
    return place.status();
  }
  place_ = *std::move(place);
  return absl::OkStatus();
}

absl::Status UnaryCall::Parse(const grpc::ByteBuffer& bytes,
                              google::protobuf::Message& message) const {
  return ParseMessage(bytes, service_.limits, message);
}

void UnaryCall::Guard(const std::function<absl::Status()>& step) {
  const absl::Status status = Guarded(service_.log, step);
  if (!status.ok()) Fail(status);
}

void UnaryCall::Reply(const google::protobuf::Message& message) {
  *reply_ = SerializeMessage(message);
  const absl::Status outcome = WithReason(Outcome(absl::OkStatus()));
  metrics_->RequestFinished(method_, outcome,
                            std::chrono::duration<double>(Clock::now() - started_).count());
  place_.GiveBack();
  Finish(grpc::Status::OK);
}

void UnaryCall::Fail(const absl::Status& status) {
  const absl::Status refusal = WithReason(Outcome(status));
  if (absl::IsInternal(refusal)) {
    service_.log.error("a request failed: {}", std::string(status.message()));
  }
  if (const int64_t milliseconds = RetryDelayMilliseconds(refusal); milliseconds > 0) {
    context_->AddTrailingMetadata(kRetryPushback, std::to_string(milliseconds));
  }
  metrics_->RequestFinished(method_, refusal,
                            std::chrono::duration<double>(Clock::now() - started_).count());
  place_.GiveBack();
  Finish(ToGrpc(refusal));
}

absl::StatusOr<const ModelContext*> UnaryCall::FindModel(std::string_view name) {
  auto model = service_.FindModel(name);
  if (model.ok()) metrics_ = &(*model)->metrics;
  return model;
}

absl::Status UnaryCall::CheckRoom() const {
  if (!service_.IsFull()) return absl::OkStatus();
  return Refuse(v1::ERROR_REASON_QUEUE_FULL, "",
                StrCat("requests hold ", service_.held_bytes.load(), " bytes; the limit is ",
                       service_.limits.held_bytes, " (held-bytes)"));
}

absl::Status UnaryCall::Outcome(const absl::Status& status) const {
  // Who has gone gets no answer, even if there is one.
  if (!*cancelled_ || !(status.ok() || absl::IsCancelled(status))) return status;
  return expired_ ? absl::DeadlineExceededError("") : absl::CancelledError();
}

void UnaryCall::OnCancel() {
  expired_ = IsExpired(context_->deadline(), wall_started_, std::chrono::system_clock::now());
  cancelled_->store(true);
  service_.engine.ReapCancelled();
}

}  // namespace attnd
