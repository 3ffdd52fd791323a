#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grpcpp/server_context.h"
#include "server/auth/caller.h"
#include "server/auth/key_digest.h"
#include "server/rpc/service_context.h"

namespace attnd {

// Whom a call is from, as its key says; nobody where no keys are asked for.
struct Entrant {
  Caller* caller = nullptr;
  KeyDigest key{};

  // The caller's number, from 1 up; 0: nobody is known.
  int32_t number() const { return caller == nullptr ? 0 : caller->number(); }
};

// The door of every call but health checks. It is asked before anything that the call sends is
// looked at; UNAUTHENTICATED, in the same words whatever is wrong, lets nothing pass.
absl::StatusOr<Entrant> Enter(const ServiceContext& service,
                              const grpc::CallbackServerContext& context);

// UNAUTHENTICATED if the key is not valid any more.
absl::Status CheckStillValid(const ServiceContext& service, const Entrant& entrant);

// A place for one request of the entrant, which is counted as its own from then on; CALLER_LIMIT if
// it has as many in flight as it may.
absl::StatusOr<CallerPlace> TakePlace(const ServiceContext& service, const Entrant& entrant);

}  // namespace attnd
