// The flags of TLS.

#include <arpa/inet.h>

#include <algorithm>

#include "core/base/strings.h"
#include "server/address.h"
#include "server/config_flags.h"

namespace attnd {

void ConfigFlags::AddTls() {
  TlsOptions& tls = config_.tls;
  const auto file = [&](const char* flag, std::string& target, const char* help) {
    Named(app_.add_option(flag, target, help))->type_name("FILE")->capture_default_str();
  };
  file(
      "--tls-certificate", tls.certificate,
      "The server's certificate and the chain behind it, PEM. With it gRPC is served over TLS, 1.2 "
      "and up, and addresses that others can reach need no --insecure.");
  file("--tls-key", tls.key,
       "The private key of the certificate, PEM, not encrypted; may be the same file.");
  file("--tls-client-ca", tls.client_ca,
       "Certificates of authorities, PEM. Clients must show a certificate that one of them vouches "
       "for; others get no connection.");
  AddList(
      "--tls-client-name", tls.client_names, "NAME",
      "A subject alternative name (DNS, URI, IP or email, as the certificate has it) of clients "
      "that may call. Give it again for each further one; others get PERMISSION_DENIED. None: "
      "all that --tls-client-ca vouches for.");
  AddDuration(
      "--tls-reload-interval", tls.reload_interval, std::chrono::seconds(1), std::chrono::hours(24),
      "How often the files are looked at. New connections get a new certificate when it and "
      "its key fit, open ones keep theirs; wrong files are counted and logged, and the old "
      "certificate stays.");
}

std::string ConfigFlags::FinishTls() {
  TlsOptions& tls = config_.tls;
  // As --check-config prints none.
  if (tls.client_names == std::vector<std::string>{""}) tls.client_names.clear();
  if (tls.enabled() && tls.key.empty()) return "--tls-certificate: needs --tls-key";
  if (!tls.enabled() && !tls.key.empty()) return "--tls-key: needs --tls-certificate";
  if (!tls.enabled() && !tls.client_ca.empty()) return "--tls-client-ca: needs --tls-certificate";
  if (!tls.client_names.empty() && tls.client_ca.empty()) {
    return "--tls-client-name: needs --tls-client-ca, without which nobody shows a name";
  }
  if (std::count(tls.client_names.begin(), tls.client_names.end(), "") > 0) {
    return "--tls-client-name: a name is empty";
  }
  const std::optional<Address> address = ParseAddress(config_.listen);
  if (tls.enabled() && address && !address->is_unix && !address->IsNumeric()) {
    return StrCat("--listen: \"", config_.listen,
                  "\" is a name, which may stand for several sockets: with --tls-certificate, pass "
                  "an IP address");
  }
  return {};
}

}  // namespace attnd
