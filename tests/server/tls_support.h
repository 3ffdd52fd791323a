#pragma once

#include <arpa/inet.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>

#include "client/client.h"
#include "core/base/file_descriptor.h"
#include "gtest/gtest.h"
#include "tests/server/test_server.h"
#include "tests/support/certificates.h"
#include "tests/support/temp_dir.h"

namespace attnd::testing {

// What nothing is waited for that long but on a machine that stands still.
inline constexpr std::chrono::milliseconds kPatience = std::chrono::minutes(1);

// The files that a server with TLS is given.
class TlsDir {
 public:
  explicit TlsDir(const KeyPair& pair) { Replace(pair); }

  // Each file in one step, as who renews certificates should; the two not together.
  void Replace(const KeyPair& pair) const {
    Rename("tls.crt", pair.certificate);
    Rename("tls.key", pair.key);
  }
  void Rename(const std::string& name, const std::string& content) const {
    dir_.Write(name + ".new", content);
    std::filesystem::rename(dir_ / (name + ".new"), dir_ / name);
  }
  const TempDir& dir() const { return dir_; }

  // Of a server with these files, which looks at them all the time.
  Config MakeConfig() const {
    Config config = TestServer::DefaultConfig();
    config.metrics_listen = "127.0.0.1:0";
    config.log_level = "error";
    config.tls.certificate = dir_ / "tls.crt";
    config.tls.key = dir_ / "tls.key";
    config.tls.reload_interval = std::chrono::milliseconds(5);
    config.connection.handshake_timeout = kPatience;
    return config;
  }
  // And asks clients for a certificate.
  Config MakeConfig(const std::string& client_ca) const {
    Rename("ca.crt", client_ca);
    Config config = MakeConfig();
    config.tls.client_ca = dir_ / "ca.crt";
    return config;
  }

 private:
  TempDir dir_;
};

inline std::string TargetOf(const TestServer& server, const char* host = "127.0.0.1") {
  return std::string(host) + ":" + std::to_string(const_cast<TestServer&>(server).server().port());
}

inline client::Client TlsClient(const std::string& target, const client::TlsOptions& tls) {
  return client::Client({.target = target, .tls = tls, .deadline = kPatience});
}

// OK if a server that is called for the first time answers.
inline absl::Status CallOnce(const std::string& target, const client::TlsOptions& tls) {
  return TlsClient(target, tls).Health().status();
}

inline FileDescriptor Connect(int port) {
  FileDescriptor fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  return fd;
}

struct HandshakeOptions {
  int version = TLS1_3_VERSION;
  const char* ciphers = "ALL:@SECLEVEL=0";  // Up to TLS 1.2. Whatever this library still knows.
};

// What OpenSSL's own client meets: the serial number of the certificate that the server shows, or
// the reason why there is no connection.
struct Handshake {
  std::string serial;
  std::string error;
};

inline Handshake ShakeHands(int port, const HandshakeOptions& options = {}) {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_cipher_list(context, options.ciphers);
  SSL_CTX_set_min_proto_version(context, options.version);
  SSL_CTX_set_max_proto_version(context, options.version);
  SSL* ssl = SSL_new(context);
  const unsigned char protocols[] = {2, 'h', '2'};
  SSL_set_alpn_protos(ssl, protocols, sizeof(protocols));
  const FileDescriptor fd = Connect(port);
  SSL_set_fd(ssl, fd.get());
  ERR_clear_error();
  Handshake result;
  if (SSL_connect(ssl) == 1) {
    X509* certificate = SSL_get1_peer_certificate(ssl);
    BIGNUM* number = ASN1_INTEGER_to_BN(X509_get_serialNumber(certificate), nullptr);
    char* hex = BN_bn2hex(number);
    result.serial = hex;
    OPENSSL_free(hex);
    BN_free(number);
    X509_free(certificate);
  } else {
    const char* reason = ERR_reason_error_string(ERR_peek_last_error());
    result.error = reason == nullptr ? "closed" : reason;
  }
  SSL_free(ssl);
  SSL_CTX_free(context);
  return result;
}

}  // namespace attnd::testing
