#include "server/address.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/numbers.h"
#include "core/base/strings.h"

namespace attnd {
namespace {

constexpr std::string_view kUnix = "unix:";
constexpr int kPortMax = 65'535;

}  // namespace

bool Address::IsLocal() const {
  // 127.0.0.0/8. "127.example.org" is a name.
  in_addr parsed{};
  const bool loopback_v4 =
      inet_pton(AF_INET, host.c_str(), &parsed) == 1 && ntohl(parsed.s_addr) >> 24 == 127;
  return is_unix || host == "localhost" || host == "::1" || loopback_v4;
}

bool Address::IsNumeric() const {
  in6_addr parsed{};  // Has room for either.
  return inet_pton(AF_INET, host.c_str(), &parsed) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &parsed) == 1;
}

bool IsUnixSocketServed(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return false;
  std::memcpy(address.sun_path, path.data(), path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const bool served = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  close(fd);
  return served;
}

std::optional<Address> ParseAddress(std::string_view text) {
  if (text.substr(0, kUnix.size()) == kUnix) {
    const std::string_view path = text.substr(kUnix.size());
    if (path.empty()) return std::nullopt;
    return Address{.host = std::string(path), .is_unix = true};
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  // An IPv6 address needs its brackets: without, its last part would be taken for the port.
  if (host.empty() || (!bracketed && host.find(':') != std::string_view::npos)) return std::nullopt;
  int port = 0;
  if (!absl::SimpleAtoi(ToAbsl(text.substr(colon + 1)), &port) || port < 0 || port > kPortMax) {
    return std::nullopt;
  }
  return Address{.host = std::string(host), .port = port};
}

}  // namespace attnd
