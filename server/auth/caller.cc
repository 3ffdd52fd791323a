#include "server/auth/caller.h"

namespace attnd {

std::optional<CallerPlace> CallerPlace::Take(Caller& caller) {
  int32_t requests = caller.requests_;
  // Not an increment that is taken back: it could refuse another one that has a place.
  do {
    if (requests >= caller.requests_max_) return std::nullopt;
  } while (!caller.requests_.compare_exchange_weak(requests, requests + 1));
  return CallerPlace(caller);
}

CallerPlace& CallerPlace::operator=(CallerPlace&& other) noexcept {
  if (this != &other) {
    GiveBack();
    caller_ = std::exchange(other.caller_, nullptr);
  }
  return *this;
}

void CallerPlace::GiveBack() {
  if (caller_ != nullptr) --caller_->requests_;
  caller_ = nullptr;
}

}  // namespace attnd
