#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/tls/options.h"

namespace attnd {

// The content of the files that TlsOptions names.
struct TlsFiles {
  std::string certificate;
  std::string key;
  std::string client_ca;

  bool operator==(const TlsFiles&) const = default;
};

// What a server shows in a handshake and asks for, as PEM, written anew from what was checked.
struct Identity {
  std::string certificate;  // The server's, then the chain behind it.
  std::string key;          // Of the first certificate. Never in a log or an error.
  std::string client_ca;    // Empty: clients need no certificate.
  absl::Time expiry;        // Of the server's certificate.
};

// Reads the files, again until two readings agree: of a certificate and a key that are replaced
// meanwhile, one would be the old one. An error names flag, file and reason.
absl::StatusOr<TlsFiles> ReadTlsFiles(const TlsOptions& options);

// Refuses what a handshake would fail with: a PEM block that is cut short, a key that is not that
// of the certificate, or that OpenSSL takes for weak, a certificate that is not valid at `now`. Of
// `options` only the files' names are used: an error names flag, file and reason.
absl::StatusOr<Identity> CheckTlsFiles(const TlsOptions& options, const TlsFiles& files,
                                       absl::Time now);

}  // namespace attnd
