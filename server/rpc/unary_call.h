#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/base/status_macros.h"
#include "google/protobuf/message.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "server/auth/caller.h"
#include "server/rpc/door.h"
#include "server/rpc/job_terms.h"
#include "server/rpc/service_context.h"

namespace attnd {

// One unary call from its bytes to its status. All unary methods go through it: it asks who calls,
// parses, guards against exceptions, knows the deadline, hears of cancellation, and counts.
//
// A handler either ends the call before it returns, or hands jobs to the engine and ends it from
// their `done`. The call lives until gRPC is done with it, which is after Reply or Fail.
class UnaryCall : public grpc::ServerUnaryReactor {
 public:
  // Lets the caller in, parses `request` and hands it to `handle`; what that returns, unless OK,
  // fails the call. For gRPC to take over.
  template <typename Request>
  static grpc::ServerUnaryReactor* Start(
      const ServiceContext& service, Method method, grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request, grpc::ByteBuffer* reply,
      const std::function<absl::Status(UnaryCall& call, const Request& message)>& handle) {
    auto* call = new UnaryCall(service, method, context, reply);  // Ends in OnDone.
    call->Guard([&]() -> absl::Status {
      RETURN_IF_ERROR(call->LetIn());  // First of all: strangers have nothing parsed.
      Request message;
      RETURN_IF_ERROR(call->Parse(*request, message));
      if constexpr (requires { message.priority(); }) {
        RETURN_IF_ERROR(ReadPriority(message.priority(), call->terms_.priority));
      }
      return handle(*call, message);
    });
    return call;
  }

  // Ends the call; exactly one of them, once.
  void Reply(const google::protobuf::Message& message);
  void Fail(const absl::Status& status);

  // Runs `step`; a status that isn't OK, or an exception, fails the call.
  void Guard(const std::function<absl::Status()>& step);

  // The model that the request is for, under which it is counted from then on.
  absl::StatusOr<const ModelContext*> FindModel(std::string_view name);

  // QUEUE_FULL if requests hold all the memory that they may.
  absl::Status CheckRoom() const;

  // Keeps what the handler's jobs refer to until the call ends. A shared pointer, because it
  // remembers how to delete what it holds.
  void Keep(std::shared_ptr<void> state) { state_ = std::move(state); }

  const ServiceContext& service() const { return service_; }
  // Of the call's jobs.
  const JobTerms& terms() const { return terms_; }

 private:
  UnaryCall(const ServiceContext& service, Method method, grpc::CallbackServerContext* context,
            grpc::ByteBuffer* reply);
  absl::Status LetIn();
  absl::Status Parse(const grpc::ByteBuffer& bytes, google::protobuf::Message& message) const;
  // `status`, or why nobody hears it.
  absl::Status Outcome(const absl::Status& status) const;
  void OnCancel() override;
  void OnDone() override { delete this; }

  const ServiceContext& service_;
  const Method method_;
  ModelMetrics* metrics_;  // Of its model, once that is known.
  grpc::CallbackServerContext* const context_;
  grpc::ByteBuffer* const reply_;
  const Clock::time_point started_;
  const std::chrono::system_clock::time_point wall_started_ = std::chrono::system_clock::now();
  std::atomic<bool> expired_ = false;  // Why it was cancelled; set before that.
  // Set when the client has gone. Shared with jobs, which may outlive the call in the queue.
  const std::shared_ptr<std::atomic<bool>> cancelled_;
  JobTerms terms_;
  Entrant entrant_;
  CallerPlace place_;  // Until the client can see the answer.
  std::shared_ptr<void> state_;
};

}  // namespace attnd
