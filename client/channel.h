#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "client/tls.h"
#include "grpcpp/channel.h"

namespace attnd::client {

enum class ConnectionSharing {
  kShared,   // Channels to one target may use one TCP connection.
  kSeparate  // Each has its own, as clients in different processes would.
};

struct ChannelOptions {
  std::string target;
  std::optional<TlsOptions> tls = {};  // Without it: plaintext.
  int32_t reply_bytes_max = 4 * 1024 * 1024;
  ConnectionSharing sharing = ConnectionSharing::kShared;
  std::string api_key;  // Goes with each call, if IsApiKey; gRPC would end the process over others.
};

// 1 to 512 visible ASCII characters.
bool IsApiKey(std::string_view text);

// A channel, not connected yet. Proxies named by the environment are for the web and are
// not used.
std::shared_ptr<grpc::Channel> OpenChannel(const ChannelOptions& options);

}  // namespace attnd::client
