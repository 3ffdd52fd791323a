#include "server/grpc_options.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <vector>

#include "grpc/compression.h"
#include "grpc/grpc.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"

namespace attnd {
namespace {

// A request a little over the limit is still read, so that it gets an answer of ours that names
// limit and reason; gRPC's own has neither.
constexpr int64_t kReceiveFactor = 2;

// gRPC's reflection library adds itself to every builder of the process when it is loaded.
class WithoutReflection : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    plugins->erase(std::remove_if(plugins->begin(), plugins->end(),
                                  [](const auto& plugin) {
                                    return plugin->name() == "proto_server_reflection";
                                  }),
                   plugins->end());
  }
};

int Milliseconds(std::chrono::nanoseconds duration) {
  const auto count = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  return static_cast<int>(std::min<int64_t>(count, std::numeric_limits<int>::max()));
}

}  // namespace

void SetOptions(const Config& config, grpc::ServerBuilder& builder) {
  const ConnectionLimits& limits = config.connection;
  const int64_t message_bytes = config.limits.message_bytes;
  builder.SetMaxReceiveMessageSize(static_cast<int>(kReceiveFactor * message_bytes));
  builder.SetMaxSendMessageSize(static_cast<int>(message_bytes));
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  builder.SetDefaultCompressionAlgorithm(GRPC_COMPRESS_NONE);

  const auto set = [&](const char* name, int value) { builder.AddChannelArgument(name, value); };
  // Else a second server on the same port would silently take half of the calls.
  set(GRPC_ARG_ALLOW_REUSEPORT, 0);
  set(GRPC_ARG_MAX_CONCURRENT_STREAMS, limits.streams);
  set(GRPC_ARG_MAX_METADATA_SIZE, static_cast<int>(limits.metadata_bytes));
  set(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, Milliseconds(limits.handshake_timeout));
  set(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(limits.keepalive_interval));
  set(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(limits.keepalive_timeout));
  set(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  set(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
      Milliseconds(limits.client_ping_interval_min));
  set(GRPC_ARG_MAX_CONNECTION_IDLE_MS, Milliseconds(limits.idle_max));
  set(GRPC_ARG_MAX_CONNECTION_AGE_MS, Milliseconds(limits.age_max));
  set(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, Milliseconds(limits.age_grace));

  if (config.reflection) {
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  } else {
    builder.SetOption(std::make_unique<WithoutReflection>());
  }
}

}  // namespace attnd
