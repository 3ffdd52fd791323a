#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace attnd {

// An address to listen on: "HOST:PORT" or "unix:PATH".
struct Address {
  std::string host;  // Without brackets; the path of a unix socket.
  int port = 0;      // 0: the system chooses.
  bool is_unix = false;

  // True if nobody outside this machine can reach it. "localhost" counts; other names do not,
  // because what they resolve to can change.
  bool IsLocal() const;
  // True if the host is an IP address.
  bool IsNumeric() const;
};

// True if a server answers on this unix socket. gRPC would take its path away without a word.
bool IsUnixSocketServed(const std::string& path);

// nullopt if `text` is none: no port, a port above 65535, an empty host.
std::optional<Address> ParseAddress(std::string_view text);

}  // namespace attnd
