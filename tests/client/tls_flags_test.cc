// Goal: attnctl speaks TLS when told to, to a server that it can trust and with a certificate of
// its own, and says what is wrong with its files. Method: whole command lines against a fake server
// that asks for a client's certificate; certificates are made here.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/client/fake_server.h"
#include "tests/client/run_attnctl.h"
#include "tests/support/certificates.h"
#include "tests/support/temp_dir.h"

namespace attnd::client {
namespace {

using testing::Authority;
using ::testing::HasSubstr;
using testing::KeyPair;
using testing::TempDir;

// A server with TLS, and files for who calls it.
class TlsFlagsTest : public ::testing::Test {
 protected:
  TlsFlagsTest() {
    Write("ca.crt", authority_.certificate());
    Write("other.crt", Authority().certificate());
    const KeyPair own = authority_.Issue({.names = {"DNS:client.example"}});
    Write("own.crt", own.certificate);
    Write("own.key", own.key);
    Write("locked.key", testing::Encrypted(own.key));
  }

  std::shared_ptr<grpc::ServerCredentials> MakeCredentials() const {
    const KeyPair shown = authority_.Issue({.names = {"DNS:attnd.example"}});
    grpc::SslServerCredentialsOptions options(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    options.pem_root_certs = authority_.certificate();
    options.pem_key_cert_pairs = {{.private_key = shown.key, .cert_chain = shown.certificate}};
    return grpc::SslServerCredentials(options);
  }
  void Write(const std::string& name, const std::string& text) const { dir_.Write(name, text); }
  std::string Path(const std::string& name) const { return dir_ / name; }
  // `command` with all that it takes to be answered, and `more`.
  Outcome Call(std::vector<std::string> command, const std::vector<std::string>& more = {}) const {
    command.insert(
        command.end(),
        {"--target", server_.target(), "--tls", "--tls-ca", Path("ca.crt"), "--tls-server-name",
         "attnd.example", "--tls-certificate", Path("own.crt"), "--tls-key", Path("own.key")});
    command.insert(command.end(), more.begin(), more.end());
    return Attnctl(command);
  }

  const Authority authority_;
  const TempDir dir_;
  FakeServer server_{MakeCredentials()};
};

TEST_F(TlsFlagsTest, EveryKindOfCallIsAnswered) {
  EXPECT_EQ(Call({"health"}).out, "SERVING\n");
  EXPECT_EQ(Call({"health", "--watch"}).out, "SERVING\nNOT_SERVING\n");
  EXPECT_EQ(Call({"encode", "one"}).code, 0);
  EXPECT_EQ(Call({"models"}).code, 0);
  EXPECT_EQ(Call({"load", "--concurrency", "2", "--duration", "0.1", "--warmup", "0"}).code, 0);
}

TEST_F(TlsFlagsTest, WithoutOneOfThemItIsNot) {
  const auto unavailable = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"health", "--target", server_.target()});
    const Outcome outcome = Attnctl(flags);
    EXPECT_EQ(outcome.code, 1);
    EXPECT_THAT(outcome.error, HasSubstr("UNAVAILABLE"));
  };
  const std::vector<std::string> own = {"--tls-certificate", Path("own.crt"), "--tls-key",
                                        Path("own.key")};
  const auto with_own = [&](std::vector<std::string> flags) {
    flags.insert(flags.end(), own.begin(), own.end());
    return flags;
  };
  unavailable({});
  unavailable({"--tls", "--tls-ca", Path("ca.crt"), "--tls-server-name", "attnd.example"});
  unavailable(with_own({"--tls", "--tls-server-name", "attnd.example"}));
  unavailable(with_own({"--tls", "--tls-ca", Path("ca.crt")}));
  unavailable(
      with_own({"--tls", "--tls-ca", Path("other.crt"), "--tls-server-name", "attnd.example"}));
  EXPECT_EQ(Call({"health"}).code, 0);
}

TEST_F(TlsFlagsTest, AWrongCommandLineExitsWithTwo) {
  const auto refused = [](const std::vector<std::string>& flags, const std::string& says) {
    std::vector<std::string> command = {"health", "--target", "127.0.0.1:1"};
    command.insert(command.end(), flags.begin(), flags.end());
    const Outcome outcome = Attnctl(command);
    EXPECT_EQ(outcome.code, 2) << says;
    EXPECT_THAT(outcome.error, HasSubstr(says));
  };
  refused({"--tls-ca", Path("ca.crt")}, "--tls-ca requires --tls");
  refused({"--tls-server-name", "a"}, "--tls-server-name requires --tls");
  refused({"--tls", "--tls-key", Path("own.key")}, "--tls-key requires --tls-certificate");
  refused({"--tls", "--tls-certificate", Path("own.crt")}, "--tls-certificate requires --tls-key");
  refused({"--tls", "--tls-ca", Path("none")}, "none: No such file or directory");
  Write("text", "some text\n");
  refused({"--tls", "--tls-ca", Path("text")}, "--tls-ca: holds no certificate in PEM");
  const auto pair = [&](const std::string& certificate, const std::string& key) {
    return std::vector<std::string>{"--tls", "--tls-certificate", Path(certificate), "--tls-key",
                                    Path(key)};
  };
  refused(pair("own.key", "own.key"), "--tls-certificate: holds no certificate in PEM");
  refused(pair("own.crt", "own.crt"), "--tls-key: holds no private key in PEM");
  refused(pair("own.crt", "locked.key"), "--tls-key: holds no private key in PEM, or an encrypted");
  refused(pair("other.crt", "own.key"), "--tls-key: is not the key of --tls-certificate");
  Write("large", std::string((1 << 20) + 1, '-'));
  refused({"--tls", "--tls-ca", Path("large")}, "more than 1048576 bytes, the limit");
}

}  // namespace
}  // namespace attnd::client
