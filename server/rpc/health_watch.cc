#include "server/rpc/health_watch.h"

#include <utility>

#include "server/rpc/message.h"
#include "server/validate/error.h"

namespace attnd {

void HealthWatch::Show(State state) {
  {
    absl::MutexLock lock(&mutex_);
    wanted_ = state;
  }
  Advance();
}

void HealthWatch::ShowChange(State state) {
  {
    absl::MutexLock lock(&mutex_);
    if (wanted_ == grpc::health::v1::HealthCheckResponse::SERVICE_UNKNOWN) return;
  }
  Show(state);
}

void HealthWatch::End(const absl::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    ending_ = true;
    end_status_.Update(status);
  }
  Advance();
}

void HealthWatch::Advance() {
  // With the lock held, so that Finish cannot overtake a write. Neither call runs a reaction of
  // ours before it returns.
  absl::MutexLock lock(&mutex_);
  if (finished_ || writing_) return;
  if (wanted_ != shown_ && !broken_) {
    grpc::health::v1::HealthCheckResponse response;
    response.set_status(wanted_);
    buffer_ = SerializeMessage(response);
    shown_ = wanted_;
    writing_ = true;
    StartWrite(&buffer_);
  } else if (ending_ || broken_) {
    finished_ = true;
    Finish(ToGrpc(broken_ ? WithReason(absl::CancelledError()) : end_status_));
  }
}

void HealthWatch::OnWriteDone(bool ok) {
  {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
    if (!ok) broken_ = true;
  }
  Advance();
}

void HealthWatch::OnCancel() {
  {
    absl::MutexLock lock(&mutex_);
    broken_ = true;
  }
  Advance();
}

void HealthWatch::OnDone() {
  const auto on_done = std::move(on_done_);
  if (on_done) on_done();  // Ends this.
}

}  // namespace attnd
