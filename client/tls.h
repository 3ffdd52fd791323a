#pragma once

#include <string>

namespace attnd::client {

// How a server is known and this client shown, in TLS. PEM texts, not files.
struct TlsOptions {
  std::string ca;  // Certificates of authorities to trust; empty: those that the system trusts.
  // For a server that asks clients for a certificate: this client's, the chain behind it, the key.
  std::string certificate;
  std::string key;
  // The name that the server's certificate must have; empty: the target's host.
  std::string server_name;
};

}  // namespace attnd::client
