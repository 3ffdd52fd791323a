#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"

namespace attnd::testing {

// A certificate and its key, both PEM.
struct KeyPair {
  std::string certificate;
  std::string key;
  std::string serial;  // Hexadecimal.
};

struct CertificateOptions {
  // As OpenSSL writes them: "DNS:a.example", "IP:127.0.0.1", "URI:spiffe://example/a".
  std::vector<std::string> names = {"DNS:localhost", "IP:127.0.0.1"};
  // Its validity, from now.
  absl::Duration begin = -absl::Hours(1);
  absl::Duration end = absl::Hours(1);
};

// An authority with a key of its own, which is made anew each time; so are serial numbers.
class Authority {
 public:
  Authority();
  // Its certificate, PEM.
  const std::string& certificate() const { return own_.certificate; }
  // A certificate with a new key.
  KeyPair Issue(const CertificateOptions& options = {}) const;

 private:
  KeyPair own_;
};

// A certificate that only its own key vouches for.
KeyPair SelfSigned(const CertificateOptions& options = {});

// The same key, behind a password.
std::string Encrypted(const std::string& key);

// A pair with a key that nobody should take any more.
KeyPair WeakSelfSigned();

}  // namespace attnd::testing
