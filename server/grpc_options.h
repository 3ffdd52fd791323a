#pragma once

#include "grpcpp/server_builder.h"
#include "server/config.h"

namespace attnd {

// Sets every limit that gRPC keeps: message and metadata sizes, streams, keepalive, idle and age,
// identity compression only, no shared port, reflection only where it is asked for.
void SetOptions(const Config& config, grpc::ServerBuilder& builder);

}  // namespace attnd
