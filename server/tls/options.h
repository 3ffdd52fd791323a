#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace attnd {

// Where the server's certificate comes from. No certificate: plaintext.
struct TlsOptions {
  // Files of PEM. The certificate is the server's, then the chain behind it.
  std::string certificate;
  std::string key;
  std::string client_ca;                  // Empty: clients need no certificate.
  std::vector<std::string> client_names;  // Empty: any that client_ca vouches for.
  // How often the files are looked at for newer ones.
  std::chrono::nanoseconds reload_interval = std::chrono::seconds(60);

  bool enabled() const { return !certificate.empty(); }
};

}  // namespace attnd
