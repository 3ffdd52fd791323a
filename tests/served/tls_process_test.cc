// Goal: attnd as it is started by people serves over TLS, renews its certificate, never writes its
// key, and with files that do not fit ends at once and says why. Method: the real program, with
// certificates made here.

#include <filesystem>
#include <string>
#include <thread>

#include "client/client.h"
#include "core/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/served/attnd_process.h"
#include "tests/support/certificates.h"
#include "tests/support/tiny_model.h"

namespace attnd {
namespace {

using testing::Authority;
using ::testing::HasSubstr;
using testing::KeyPair;
using ::testing::Not;
using testing::TempDir;

class TlsProcessTest : public ::testing::Test {
 protected:
  TlsProcessTest() { testing::WriteTinyBert(model_.path(), {}); }

  void Write(const KeyPair& pair) const {
    for (const auto& [name, text] :
         {std::pair("tls.crt", pair.certificate), {"tls.key", pair.key}}) {
      files_.Write("new", text);
      std::filesystem::rename(files_ / "new", files_ / name);
    }
  }
  absl::StatusOr<std::unique_ptr<testing::AttndProcess>> Start() const {
    return testing::AttndProcess::Start(
        {.model = model_.path(),
         .flags = {"--tls-certificate", files_ / "tls.crt", "--tls-key", files_ / "tls.key",
                   "--tls-client-ca", files_ / "ca.crt", "--tls-client-name", "client.example",
                   "--tls-reload-interval", "1s", "--log-level", "debug"}});
  }

  const TempDir model_, files_;
};

TEST_F(TlsProcessTest, ItServesRenewsAndKeepsItsKeyToItself) {
  const Authority first, second;
  const KeyPair own = first.Issue({.names = {"DNS:client.example"}});
  const KeyPair pairs[] = {first.Issue(), second.Issue()};
  files_.Write("ca.crt", first.certificate());
  Write(pairs[0]);
  const auto attnd = Start();
  ASSERT_TRUE(attnd.ok()) << attnd.status();
  const auto call = [&](const Authority& trusted) {
    const client::Client client({.target = (*attnd)->target(),
                                 .tls = client::TlsOptions{.ca = trusted.certificate(),
                                                           .certificate = own.certificate,
                                                           .key = own.key},
                                 .deadline = std::chrono::minutes(1)});
    return client.Encode({client::Input("a b")}).status();
  };
  EXPECT_EQ(call(first), absl::OkStatus());
  EXPECT_FALSE(call(second).ok());
  Write(pairs[1]);
  const auto limit = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!call(second).ok() && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
  EXPECT_EQ(call(second), absl::OkStatus());
  EXPECT_FALSE(call(first).ok());
  EXPECT_EQ((*attnd)->Stop(), 0);
  const std::string& log = (*attnd)->log();
  EXPECT_THAT(log, HasSubstr("tls: a new certificate is served"));
  EXPECT_THAT(log, HasSubstr("tls: clients need a name of: client.example"));
  for (const KeyPair& pair : pairs) {
    const std::string line = pair.key.substr(pair.key.find('\n') + 1, 40);
    EXPECT_THAT(log + (*attnd)->Output(), Not(HasSubstr(line)));
  }
}

TEST_F(TlsProcessTest, WithFilesThatDoNotFitItEndsAndSaysWhy) {
  const Authority authority;
  files_.Write("ca.crt", authority.certificate());
  Write({authority.Issue().certificate, authority.Issue().key, ""});
  const auto attnd = Start();
  ASSERT_FALSE(attnd.ok());
  const std::string key = files_ / "tls.key", certificate = files_ / "tls.crt";
  EXPECT_THAT(std::string(attnd.status().message()),
              HasSubstr(StrCat("attnd cannot start: --tls-key: ", key,
                               ": is not the key of --tls-certificate ", certificate, "\n")));
}

}  // namespace
}  // namespace attnd
