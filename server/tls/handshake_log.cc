#include "server/tls/handshake_log.h"

#include <atomic>
#include <string_view>

#include "grpc/support/log.h"

namespace attnd {
namespace {

// Of the process, as the log is: gRPC calls a function that brings nothing along.
std::atomic<int64_t>& Failures() {
  static std::atomic<int64_t> failures = 0;
  return failures;
}

constexpr std::string_view kFailure = "Handshake failed with fatal error";

void CountFailures(gpr_log_func_args* line) {
  if (std::string_view(line->message).starts_with(kFailure)) ++Failures();
}

}  // namespace

void TakeGrpcLog() { gpr_set_log_function(CountFailures); }

int64_t HandshakesFailed() { return Failures(); }

}  // namespace attnd
