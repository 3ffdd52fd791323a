// Goal: of certificate files, what a handshake would fail with is refused before it is served, in
// one line that names flag, file and reason, and never a word of the key. Method: CheckTlsFiles on
// texts made from certificates of the test's own, ReadTlsFiles on files.

#include <sys/stat.h>

#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/tls/identity.h"
#include "tests/support/certificates.h"
#include "tests/support/temp_dir.h"

namespace attnd {
namespace {

using testing::Authority;
using ::testing::HasSubstr;
using testing::KeyPair;
using ::testing::Not;
using ::testing::StartsWith;
using testing::TempDir;

constexpr char kEnd[] = "-----END CERTIFICATE-----";
const TlsOptions kPaths = {
    .certificate = "/c.pem", .key = "/k.pem", .client_ca = "/ca.pem", .client_names = {}};

class TlsFilesTest : public ::testing::Test {
 protected:
  std::string WhyRefused(const TlsFiles& files) const {
    const auto identity = CheckTlsFiles(kPaths, files, absl::Now());
    EXPECT_FALSE(identity.ok());
    const auto message = std::string(identity.status().message());
    EXPECT_THAT(message, Not(HasSubstr("\n")));
    return message;
  }

  const Authority authority_, other_;
  const KeyPair pair_ = authority_.Issue(), other_pair_ = other_.Issue();
  const TlsFiles good_ = {.certificate = pair_.certificate + authority_.certificate(),
                          .key = pair_.key,
                          .client_ca = authority_.certificate() + other_.certificate()};
};

TEST_F(TlsFilesTest, WhatFitsIsTakenWithoutWhatStandsAround) {
  TlsFiles files = good_;
  files.certificate = "subject=a comment\n\n" + files.certificate + "\n \n";
  files.key = "engine:none\n" + pair_.certificate + files.key;
  const auto identity = CheckTlsFiles(kPaths, files, absl::Now());
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(identity->certificate, good_.certificate);
  EXPECT_EQ(identity->key, good_.key);
  EXPECT_EQ(identity->client_ca, good_.client_ca);
  const absl::Duration left = identity->expiry - absl::Now();
  EXPECT_GT(left, absl::Minutes(50));
  EXPECT_LE(left, absl::Hours(1));
}

TEST_F(TlsFilesTest, APartOfAFileIsNoFile) {
  const auto cut = [this](std::string TlsFiles::*file, const char* flag) {
    const std::string whole = good_.*file;
    const std::string secret = pair_.key.substr(pair_.key.find('\n') + 1, 8);
    // Without its last newline it is still whole.
    for (size_t size = 0; size + 1 < whole.size(); size += 7) {
      TlsFiles files = good_;
      (files.*file).resize(size);
      // Nothing tells some whole certificates from all of them.
      if (absl::EndsWith(absl::StripAsciiWhitespace(files.*file), kEnd)) continue;
      const std::string why = WhyRefused(files);
      EXPECT_THAT(why, StartsWith(flag)) << size;
      EXPECT_THAT(why, Not(HasSubstr(secret))) << size;
    }
  };
  cut(&TlsFiles::certificate, "--tls-certificate: /c.pem: ");
  cut(&TlsFiles::key, "--tls-key: /k.pem: ");
  cut(&TlsFiles::client_ca, "--tls-client-ca: /ca.pem: ");
}

TEST_F(TlsFilesTest, EachIsRefusedWithItsReason) {
  const auto expect = [this](const TlsFiles& files, const std::string& why) {
    EXPECT_THAT(WhyRefused(files), HasSubstr(why));
  };
  const auto with = [this](const KeyPair& pair) {
    return TlsFiles{
        .certificate = pair.certificate, .key = pair.key, .client_ca = authority_.certificate()};
  };
  expect({good_.certificate, other_pair_.key, good_.client_ca},
         "--tls-key: /k.pem: is not the key of --tls-certificate /c.pem");
  // The chain first: its first certificate would be taken for the server's.
  expect({authority_.certificate() + pair_.certificate, pair_.key, good_.client_ca},
         "--tls-key: /k.pem: is not the key of --tls-certificate /c.pem");
  expect({good_.certificate, testing::Encrypted(pair_.key), good_.client_ca},
         "--tls-key: /k.pem: is encrypted");
  expect({good_.certificate, pair_.certificate, good_.client_ca},
         "--tls-key: /k.pem: holds no private key in PEM");
  expect({pair_.key, pair_.key, good_.client_ca},
         "--tls-certificate: /c.pem: holds no certificate in PEM");
  expect({good_.certificate, pair_.key, pair_.key},
         "--tls-client-ca: /ca.pem: holds no certificate in PEM");
  expect(with(authority_.Issue({.end = -absl::Seconds(1)})),
         "--tls-certificate: /c.pem: expired at 2");
  expect(with(authority_.Issue({.begin = absl::Minutes(5)})),
         "--tls-certificate: /c.pem: is not valid before 2");
  const std::string old = authority_.Issue({.end = -absl::Seconds(1)}).certificate;
  const std::string early = authority_.Issue({.begin = absl::Minutes(5)}).certificate;
  expect({pair_.certificate + old, pair_.key, good_.client_ca},
         "--tls-certificate: /c.pem: expired at 2");
  expect({good_.certificate, pair_.key, old + early},
         "--tls-client-ca: /ca.pem: holds no certificate that is valid now");
  // Old ones may stay among those that are valid.
  const TlsFiles bundle{good_.certificate, pair_.key, old + good_.client_ca};
  EXPECT_TRUE(CheckTlsFiles(kPaths, bundle, absl::Now()).ok());
  expect(with(testing::WeakSelfSigned()), "--tls-certificate: /c.pem: cannot be used: ee key");
  std::string damaged = good_.certificate;
  damaged[100] = damaged[100] == 'A' ? 'B' : 'A';
  damaged[101] = '*';
  expect({damaged, pair_.key, good_.client_ca},
         "--tls-certificate: /c.pem: certificate 1 cannot be read: ");
}

TEST_F(TlsFilesTest, FilesAreReadWithinBoundsOrRefusedByName) {
  const TempDir dir;
  dir.Write("c.pem", good_.certificate);
  dir.Write("k.pem", good_.key);
  dir.Write("ca.pem", good_.client_ca);
  const TlsOptions options = {
      .certificate = dir / "c.pem", .key = dir / "k.pem", .client_ca = dir / "ca.pem"};
  const auto read = ReadTlsFiles(options);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, good_);

  const auto why = [&] { return std::string(ReadTlsFiles(options).status().message()); };
  dir.Write("ca.pem", std::string((1 << 20) + 1, '-'));
  EXPECT_EQ(why(), absl::StrCat("--tls-client-ca: ", options.client_ca,
                                ": has more than 1048576 bytes, the limit"));
  dir.Remove("c.pem");
  EXPECT_EQ(why(), absl::StrCat("--tls-certificate: ", options.certificate,
                                ": No such file or directory"));
  ASSERT_EQ(mkfifo(options.certificate.c_str(), 0600), 0);
  EXPECT_EQ(why(),
            absl::StrCat("--tls-certificate: ", options.certificate, ": is not a regular file"));
}

}  // namespace
}  // namespace attnd
