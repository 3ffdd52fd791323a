// Goal: who is let in over TLS, and who is not, is exact. Method: a server on a real port; for each
// row of a table the project's own client, with certificates made here, or OpenSSL's client, or
// bytes that are no TLS at all. Each refusal stands beside a call that differs in that alone and is
// answered.

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/tls/handshake_log.h"
#include "tests/server/scrape.h"
#include "tests/server/tls_support.h"

namespace attnd {
namespace {

using client::TlsOptions;
using testing::Authority;
using testing::CallOnce;
using testing::Eventually;
using ::testing::HasSubstr;
using testing::KeyPair;
using testing::Scrape;
using testing::ShakeHands;
using testing::TargetOf;
using testing::TestServer;
using testing::TlsDir;

TlsOptions Trusting(const Authority& authority) { return {.ca = authority.certificate()}; }

TlsOptions With(TlsOptions tls, const KeyPair& pair) {
  tls.certificate = pair.certificate;
  tls.key = pair.key;
  return tls;
}

TEST(TlsTest, ACallIsAnsweredAsInPlaintext) {
  const Authority authority;
  const TlsDir dir(authority.Issue());
  TestServer server(dir.MakeConfig());
  const auto reply =
      testing::TlsClient(TargetOf(server), Trusting(authority)).Encode({client::Input("a b")});
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->encodings.size(), 1u);
}

TEST(TlsTest, AClientKnowsItsServerByAuthorityNameAndTime) {
  const Authority authority, other;
  // A server that shows what attnd would refuse to show.
  const auto call = [&](const KeyPair& shown, const TlsOptions& tls, const char* host) {
    grpc::health::v1::Health::Service service;
    grpc::SslServerCredentialsOptions options;
    options.pem_key_cert_pairs = {{.private_key = shown.key, .cert_chain = shown.certificate}};
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(options), &port);
    builder.RegisterService(&service);
    const auto server = builder.BuildAndStart();
    return CallOnce(std::string(host) + ":" + std::to_string(port), tls).code();
  };
  // Nobody has written its methods.
  constexpr auto kAnswered = absl::StatusCode::kUnimplemented;
  constexpr auto kRefused = absl::StatusCode::kUnavailable;
  const TlsOptions trusting = Trusting(authority);
  TlsOptions named = trusting;
  named.server_name = "attnd.example";
  const KeyPair local = authority.Issue();
  const KeyPair example = authority.Issue({.names = {"DNS:attnd.example"}});
  EXPECT_EQ(call(local, trusting, "127.0.0.1"), kAnswered);
  EXPECT_EQ(call(local, trusting, "localhost"), kAnswered);
  EXPECT_EQ(call(example, named, "127.0.0.1"), kAnswered);
  EXPECT_EQ(call(example, trusting, "127.0.0.1"), kRefused);
  EXPECT_EQ(call(local, named, "127.0.0.1"), kRefused);
  EXPECT_EQ(call(local, Trusting(other), "127.0.0.1"), kRefused);
  EXPECT_EQ(call(local, TlsOptions{}, "127.0.0.1"), kRefused);  // The system's authorities.
  EXPECT_EQ(call(testing::SelfSigned(), trusting, "127.0.0.1"), kRefused);
  EXPECT_EQ(call(authority.Issue({.end = -absl::Seconds(1)}), trusting, "127.0.0.1"), kRefused);
  EXPECT_EQ(call(authority.Issue({.begin = absl::Minutes(5)}), trusting, "127.0.0.1"), kRefused);
}

TEST(TlsTest, AServerKnowsItsClientsByAuthorityAndTime) {
  const Authority authority, clients, other;
  const TlsDir dir(authority.Issue());
  TestServer server(dir.MakeConfig(clients.certificate()));
  const TlsOptions trusting = Trusting(authority);
  const auto call = [&](const KeyPair& shown) {
    return CallOnce(TargetOf(server), With(trusting, shown)).code();
  };
  EXPECT_EQ(call(clients.Issue()), absl::StatusCode::kOk);
  EXPECT_EQ(CallOnce(TargetOf(server), trusting).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(call(other.Issue()), absl::StatusCode::kUnavailable);
  EXPECT_EQ(call(authority.Issue()), absl::StatusCode::kUnavailable);
  EXPECT_EQ(call(testing::SelfSigned()), absl::StatusCode::kUnavailable);
  EXPECT_EQ(call(clients.Issue({.end = -absl::Seconds(1)})), absl::StatusCode::kUnavailable);
  EXPECT_EQ(call(clients.Issue({.begin = absl::Minutes(5)})), absl::StatusCode::kUnavailable);
}

TEST(TlsTest, AnAuthorityThatIsTakenAwayVouchesForNobodyNew) {
  const Authority authority, staying, leaving;
  const TlsDir dir(authority.Issue());
  TestServer server(dir.MakeConfig(staying.certificate() + leaving.certificate()));
  const TlsOptions stays = With(Trusting(authority), staying.Issue());
  const TlsOptions leaves = With(Trusting(authority), leaving.Issue());
  EXPECT_EQ(CallOnce(TargetOf(server), stays), absl::OkStatus());
  EXPECT_EQ(CallOnce(TargetOf(server), leaves), absl::OkStatus());
  dir.Rename("ca.crt", staying.certificate());
  EXPECT_TRUE(Eventually([&] { return !CallOnce(TargetOf(server), leaves).ok(); }));
  EXPECT_EQ(CallOnce(TargetOf(server), stays), absl::OkStatus());
}

TEST(TlsTest, AClientNeedsOneOfTheNamesThatAreAllowed) {
  const Authority authority;
  const TlsDir dir(authority.Issue());
  Config config = dir.MakeConfig(authority.certificate());
  config.tls.client_names = {"spiffe://example/search", "batch.example", "10.0.0.7"};
  TestServer server(config);
  const auto call = [&](const std::vector<std::string>& names) {
    const TlsOptions tls = With(Trusting(authority), authority.Issue({.names = names}));
    return CallOnce(TargetOf(server), tls);
  };
  EXPECT_EQ(call({"URI:spiffe://example/search"}), absl::OkStatus());
  EXPECT_EQ(call({"DNS:other.example", "DNS:batch.example"}), absl::OkStatus());
  EXPECT_EQ(call({"IP:10.0.0.7"}), absl::OkStatus());
  const std::vector<std::vector<std::string>> refused = {{"URI:spiffe://example/searchers"},
                                                         {"DNS:*.example"},
                                                         {"DNS:Batch.example"},
                                                         {"DNS:a.batch.example", "IP:10.0.0.8"}};
  for (const auto& names : refused) {
    const absl::Status status = call(names);
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << names[0];
    EXPECT_THAT(std::string(status.message()), HasSubstr("client's certificate")) << names[0];
  }
  EXPECT_EQ(Scrape(server.server().metrics_port()).at("attnd_tls_client_names_refused_total"), 4);
}

TEST(TlsTest, OldVersionsAndCiphersAreRefused) {
  const Authority authority;
  const KeyPair pair = authority.Issue();
  const TlsDir dir(pair);
  TestServer server(dir.MakeConfig());
  const int port = server.server().port();
  const char* good = "ECDHE-ECDSA-AES128-GCM-SHA256";
  EXPECT_EQ(ShakeHands(port, {.version = TLS1_3_VERSION}).serial, pair.serial);
  EXPECT_EQ(ShakeHands(port, {.version = TLS1_2_VERSION}).serial, pair.serial);
  EXPECT_EQ(ShakeHands(port, {.version = TLS1_2_VERSION, .ciphers = good}).serial, pair.serial);
  for (const int version : {TLS1_1_VERSION, TLS1_VERSION}) {
    const auto refused = ShakeHands(port, {.version = version});
    EXPECT_EQ(refused.serial, "");
    // Not what OpenSSL says when it does not even ask.
    EXPECT_NE(refused.error, "no protocols available");
  }
  for (const char* weak : {"ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0", "ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0",
                           "AECDH-AES128-SHA:@SECLEVEL=0"}) {
    EXPECT_EQ(ShakeHands(port, {.version = TLS1_2_VERSION, .ciphers = weak}).serial, "") << weak;
  }
}

TEST(TlsTest, PlaintextGetsNoWordOfPlaintext) {
  const Authority authority;
  const TlsDir dir(authority.Issue());
  TestServer server(dir.MakeConfig());
  EXPECT_EQ(client::Client({.target = TargetOf(server)}).Health().status().code(),
            absl::StatusCode::kUnavailable);
  const std::vector<std::string> texts = {
      std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33),
      "GET / HTTP/1.1\r\nHost: a\r\n\r\n", std::string(4096, '\0')};
  for (const std::string& sent : texts) {
    const FileDescriptor fd = testing::Connect(server.server().port());
    ASSERT_EQ(write(fd.get(), sent.data(), sent.size()), static_cast<ssize_t>(sent.size()));
    char bytes[256];
    EXPECT_LE(read(fd.get(), bytes, sizeof(bytes)), 0) << sent;  // Closed without an answer.
  }
}

TEST(TlsTest, EachHandshakeThatFailsIsCounted) {
  const Authority authority;
  const TlsDir dir(authority.Issue());
  TestServer open(dir.MakeConfig());
  TestServer closed(dir.MakeConfig(authority.certificate()));
  const auto failed = [&] {
    return Scrape(open.server().metrics_port()).at("attnd_tls_handshakes_failed_total");
  };
  TakeGrpcLog();
  const double before = failed();
  ShakeHands(open.server().port());
  EXPECT_EQ(failed(), before);
  ShakeHands(open.server().port(), {.version = TLS1_1_VERSION});
  EXPECT_TRUE(Eventually([&] { return failed() == before + 1; }));
  ShakeHands(closed.server().port());  // Shows no certificate.
  EXPECT_TRUE(Eventually([&] { return failed() == before + 2; }));
  const FileDescriptor fd = testing::Connect(open.server().port());
  ASSERT_EQ(write(fd.get(), "no TLS, is it", 13), 13);
  EXPECT_TRUE(Eventually([&] { return failed() == before + 3; }));
}

TEST(TlsTest, TlsToAPlaintextPortIsRefused) {
  const Authority authority;
  TestServer server;
  EXPECT_EQ(CallOnce(TargetOf(server), Trusting(authority)).code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(ShakeHands(server.server().port()).error, "");
  EXPECT_EQ(client::Client({.target = TargetOf(server)}).Health().status(), absl::OkStatus());
}

}  // namespace
}  // namespace attnd
