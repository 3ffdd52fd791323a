// Goal: certificates change while a server runs, and no request is lost; what cannot be served
// changes nothing and is counted. Method: a server that looks at its files all the time, a client
// that stays connected and one that connects anew for each call, and OpenSSL's client to see which
// certificate new connections get.

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/scrape.h"
#include "tests/server/tls_support.h"

namespace attnd {
namespace {

using testing::Authority;
using testing::CallOnce;
using testing::Eventually;
using testing::KeyPair;
using testing::Scrape;
using testing::ShakeHands;
using testing::TargetOf;
using testing::TempDir;
using testing::TestServer;
using testing::TlsDir;

double Metric(TestServer& server, const std::string& name) {
  return Scrape(server.server().metrics_port()).at(name);
}
double Failed(TestServer& server) {
  return Metric(server, "attnd_tls_certificate_reloads_total{result=\"failed\"}");
}
bool IsServedSoon(TestServer& server, const KeyPair& pair) {
  return Eventually([&] { return ShakeHands(server.server().port()).serial == pair.serial; });
}

// Two clients, from when it is made to Stop.
class Load {
 public:
  Load(const std::string& target, const client::TlsOptions& tls)
      : staying_([this, target, tls] {
          const client::Client client = testing::TlsClient(target, tls);
          while (!stop_) Count(client.Encode({client::Input("a b")}).status(), staying_calls_);
        }),
        coming_([this, target, tls] {
          while (!stop_) Count(CallOnce(target, tls), coming_calls_);
        }) {}
  ~Load() { Stop(); }

  // The errors of all calls, one a line.
  std::string Stop() {
    stop_ = true;
    if (staying_.joinable()) staying_.join();
    if (coming_.joinable()) coming_.join();
    absl::MutexLock lock(&mutex_);
    return errors_;
  }
  // Waits until each client has been answered some more.
  bool Go() {
    const int staying = staying_calls_, coming = coming_calls_;
    return Eventually([&] { return staying_calls_ > staying + 3 && coming_calls_ > coming + 3; });
  }

 private:
  void Count(const absl::Status& status, std::atomic<int>& calls) {
    ++calls;
    if (status.ok()) return;
    absl::MutexLock lock(&mutex_);
    errors_ += status.ToString() + "\n";
  }

  absl::Mutex mutex_;
  std::string errors_;
  std::atomic<bool> stop_ = false;
  std::atomic<int> staying_calls_ = 0, coming_calls_ = 0;
  std::thread staying_, coming_;
};

TEST(TlsRotationTest, UnderLoadNothingIsLostWhateverTheFilesHold) {
  const Authority authority, other;
  const KeyPair first = authority.Issue();
  const TlsDir dir(first);
  TestServer server(dir.MakeConfig());
  Load load(TargetOf(server), {.ca = authority.certificate()});
  ASSERT_TRUE(load.Go());
  KeyPair served = first;
  for (int rotation = 0; rotation < 3; ++rotation) {
    served = authority.Issue();
    dir.Replace(served);
    ASSERT_TRUE(IsServedSoon(server, served)) << rotation;
    ASSERT_TRUE(load.Go());
  }

  // Of one pair the certificate, of another the key; half of each file; none of one. Never is one
  // file of these and the other of the next a pair.
  const auto half = [](const std::string& text) { return text.substr(0, text.size() / 2); };
  const KeyPair a = authority.Issue(), b = authority.Issue(), c = authority.Issue();
  const std::vector<KeyPair> wrong = {{authority.Issue().certificate, served.key, ""},
                                      {half(a.certificate), a.key, ""},
                                      {b.certificate, half(b.key), ""},
                                      {c.certificate, "", ""},
                                      authority.Issue({.end = -absl::Seconds(1)}),
                                      authority.Issue({.begin = absl::Minutes(5)})};
  for (const KeyPair& pair : wrong) {
    dir.Replace(pair);
    // The first of these may have been begun before the files were whole.
    const double failed = Failed(server);
    ASSERT_TRUE(Eventually([&] { return Failed(server) >= failed + 2; }));
    EXPECT_EQ(ShakeHands(server.server().port()).serial, served.serial);
    ASSERT_TRUE(load.Go());
  }
  const KeyPair next = authority.Issue();
  dir.Replace(next);
  EXPECT_TRUE(IsServedSoon(server, next));
  ASSERT_TRUE(load.Go());
  EXPECT_EQ(load.Stop(), "");
  EXPECT_EQ(Metric(server, "attnd_tls_certificate_reloads_total{result=\"ok\"}"), 4);
}

// As Kubernetes mounts a secret: tls.crt is a link to ..data/tls.crt, ..data one to a directory of
// the secret's version, and a new version is renamed over ..data.
TEST(TlsRotationTest, ALinkThatMovesReplacesBothFilesAtOnce) {
  const Authority authority;
  const TempDir dir;
  const auto publish = [&](const std::string& version, const KeyPair& pair) {
    dir.Write(version + "/tls.crt", pair.certificate);
    dir.Write(version + "/tls.key", pair.key);
    dir.Link("..data_tmp", version);
    std::filesystem::rename(dir / "..data_tmp", dir / "..data");
  };
  publish("..1", authority.Issue());
  dir.Link("tls.crt", "..data/tls.crt");
  dir.Link("tls.key", "..data/tls.key");
  Config config = TestServer::DefaultConfig();
  config.metrics_listen = "127.0.0.1:0";
  config.tls = {.certificate = dir / "tls.crt",
                .key = dir / "tls.key",
                .reload_interval = std::chrono::milliseconds(1)};
  TestServer server(config);
  Load load(TargetOf(server), {.ca = authority.certificate()});
  for (int version = 2; version <= 6; ++version) {
    const KeyPair pair = authority.Issue();
    publish(".." + std::to_string(version), pair);
    ASSERT_TRUE(IsServedSoon(server, pair)) << version;
    dir.Remove(".." + std::to_string(version - 1));
    ASSERT_TRUE(load.Go());
  }
  EXPECT_EQ(load.Stop(), "");
}

TEST(TlsRotationTest, TheMetricSaysWhenTheServedCertificateExpires) {
  const Authority authority;
  const TlsDir dir(authority.Issue({.end = absl::Hours(5)}));
  TestServer server(dir.MakeConfig());
  const std::string name = "attnd_tls_certificate_expiry_timestamp_seconds";
  const auto hours_left = [&] {
    return (Metric(server, name) - static_cast<double>(absl::ToUnixSeconds(absl::Now()))) / 3600;
  };
  EXPECT_NEAR(hours_left(), 5, 0.5);
  dir.Replace(authority.Issue({.end = absl::Hours(9)}));
  EXPECT_TRUE(Eventually([&] { return hours_left() > 8; }));
  Config plain = TestServer::DefaultConfig();
  plain.metrics_listen = "127.0.0.1:0";
  TestServer plaintext(plain);
  EXPECT_EQ(Metric(plaintext, name), 0);
}

TEST(TlsRotationTest, WhatIsWrongIsLoggedWithoutTheKey) {
  const Authority authority;
  const KeyPair pair = authority.Issue(), other = authority.Issue();
  const TlsDir dir(pair);
  Config config = dir.MakeConfig();
  config.log_level = "info";
  ::testing::internal::CaptureStderr();
  {
    TestServer server(config);
    dir.Rename("tls.key", other.key);
    ASSERT_TRUE(Eventually([&] { return Failed(server) >= 1; }));
    dir.Rename("tls.crt", other.certificate);
    ASSERT_TRUE(IsServedSoon(server, other));
  }
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, ::testing::HasSubstr("tls: the old certificate stays"));
  EXPECT_THAT(log, ::testing::HasSubstr("--tls-key: " + config.tls.key + ": is not the key of"));
  EXPECT_THAT(log, ::testing::HasSubstr("tls: a new certificate is served, which expires at 2"));
  for (const std::string& key : {pair.key, other.key}) {
    const std::string line = key.substr(key.find('\n') + 1, 60);
    EXPECT_THAT(log, ::testing::Not(::testing::HasSubstr(line)));
  }
}

TEST(TlsRotationTest, WrongFilesAtTheStartAreOneLine) {
  const Authority authority;
  const TlsDir dir(authority.Issue());
  dir.Rename("tls.key", authority.Issue().key);
  const Config config = dir.MakeConfig();
  const auto tokenizer = *Tokenizer::Load(testing::TinyTokenizer());
  testing::StubModel model;
  std::vector<ModelEntry> models;
  models.push_back(
      testing::StubEntry(testing::StubServedModel(tokenizer.get()), model, config.limits));
  const auto server =
      Server::Start(config, std::move(models), MakeLogger(LogFormat::kText, "error"));
  ASSERT_FALSE(server.ok());
  EXPECT_EQ(std::string(server.status().message()), "--tls-key: " + config.tls.key +
                                                        ": is not the key of --tls-certificate " +
                                                        config.tls.certificate);
}

}  // namespace
}  // namespace attnd
