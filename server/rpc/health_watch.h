#pragma once

#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "grpc/health/v1/health.pb.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"

namespace attnd {

// One open Watch: writes each status once, in order, and ends when told to or cancelled.
class HealthWatch : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  using State = grpc::health::v1::HealthCheckResponse::ServingStatus;

  // Called when gRPC is done with the call; may hold the last reference to this.
  void set_on_done(std::function<void()> on_done) { on_done_ = std::move(on_done); }

  void Show(State state);
  // As Show, but a watch of a service that isn't there goes on saying so.
  void ShowChange(State state);
  // After what is still to be shown. At once, if the client has gone.
  void End(const absl::Status& status);

 private:
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;
  void Advance();

  std::function<void()> on_done_;
  grpc::ByteBuffer buffer_;  // Of the write in progress.

  absl::Mutex mutex_;
  State wanted_ ABSL_GUARDED_BY(mutex_) = grpc::health::v1::HealthCheckResponse::UNKNOWN;
  State shown_ ABSL_GUARDED_BY(mutex_) = grpc::health::v1::HealthCheckResponse::UNKNOWN;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status end_status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace attnd
