// Goal: without a valid key no method but health does anything, and a key is valid as long as its
// file says so. Method: every method that the server itself lists, against a table of what may be
// wrong with a key, with a message that no method could parse; then the file is changed.

#include <array>
#include <set>
#include <string>
#include <vector>

#include "client/client.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "gtest/gtest.h"
#include "server/auth/authorization.h"
#include "server/observe/metrics.h"
#include "tests/server/key_support.h"
#include "tests/server/scrape.h"

namespace attnd {
namespace {

using testing::Callers;
using testing::CallRaw;
using ::testing::Contains;
using testing::Eventually;
using ::testing::HasSubstr;
using testing::KeyedServer;
using testing::ReasonIn;
using testing::Scrape;
using testing::TestServer;

const std::string kKey = "canary-0d6b8f1c2e7a4953";
const std::string kGood = "Bearer " + kKey;
// Not a message of any type: a field without a number.
const std::string kGarbage = "\x07\xff";

// The names of all services that a server has, as gRPC itself lists them.
std::vector<std::string> RegisteredServices() {
  using google::protobuf::DescriptorPool;
  using google::protobuf::Message;
  using google::protobuf::MessageFactory;
  Config config = TestServer::DefaultConfig();
  config.reflection = true;
  TestServer server(config);
  // ServerReflectionRequest with an empty `list_services`, its field 7.
  const std::string request("\x3a\x00", 2);
  const auto reply = CallRaw(
      server, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", request, {});
  EXPECT_TRUE(reply.status.ok()) << reply.status.error_message();
  const auto* type = DescriptorPool::generated_pool()->FindMessageTypeByName(
      "grpc.reflection.v1alpha.ServerReflectionResponse");
  std::unique_ptr<Message> response(MessageFactory::generated_factory()->GetPrototype(type)->New());
  EXPECT_TRUE(response->ParseFromString(reply.bytes));
  const Message& list = response->GetReflection()->GetMessage(
      *response, type->FindFieldByName("list_services_response"));
  const auto* services = list.GetDescriptor()->FindFieldByName("service");
  std::vector<std::string> names;
  for (int i = 0; i < list.GetReflection()->FieldSize(list, services); ++i) {
    const Message& service = list.GetReflection()->GetRepeatedMessage(list, services, i);
    names.push_back(service.GetReflection()->GetString(
        service, service.GetDescriptor()->FindFieldByName("name")));
  }
  return names;
}

// "/SERVICE/METHOD" of all that are not open to everybody, by the descriptors of the services.
std::vector<std::string> MethodsThatNeedAKey() {
  std::vector<std::string> methods;
  for (const std::string& name : RegisteredServices()) {
    // Not served where keys are asked for, which ConfigTest shows.
    if (name == "grpc.reflection.v1alpha.ServerReflection") continue;
    if (name == "grpc.health.v1.Health") continue;
    const auto* service =
        google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(name);
    EXPECT_NE(service, nullptr) << name;
    for (int i = 0; service != nullptr && i < service->method_count(); ++i) {
      methods.push_back("/" + name + "/" + service->method(i)->name());
    }
  }
  return methods;
}

struct Row {
  std::string what;
  std::vector<std::string> authorization;
  Denial denial;
};

std::vector<Row> WrongKeys() {
  return {{"none", {}, Denial::kMissing},
          {"empty", {""}, Denial::kMalformed},
          {"no key", {"Bearer "}, Denial::kMalformed},
          {"no scheme", {kKey}, Denial::kMalformed},
          {"other scheme", {"Basic " + kKey}, Denial::kMalformed},
          {"duplicated", {kGood, kGood}, Denial::kMalformed},
          {"one good, one wrong", {kGood, "Bearer wrong"}, Denial::kMalformed},
          {"one wrong, one good", {"Bearer wrong", kGood}, Denial::kMalformed},
          {"joined", {kGood + ", " + kGood}, Denial::kMalformed},
          {"very long", {"Bearer " + std::string(4000, 'k')}, Denial::kMalformed},
          {"wrong", {"Bearer wrong"}, Denial::kUnknown},
          {"prefix", {kGood.substr(0, kGood.size() - 1)}, Denial::kUnknown},
          {"longer", {kGood + "0"}, Denial::kUnknown},
          {"capitals", {"Bearer CANARY-0D6B8F1C2E7A4953"}, Denial::kUnknown}};
}

// The message of UNAUTHENTICATED; what else came is a failure.
std::string ExpectDenied(const grpc::Status& status, const std::string& what) {
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED) << what;
  EXPECT_EQ(ReasonIn(status.error_details()), "UNAUTHENTICATED") << what;
  return status.error_message() + status.error_details();
}

TEST(ApiKeysTest, EveryMethodOfEveryServiceNeedsAKeyBeforeItReadsAnything) {
  const std::vector<std::string> methods = MethodsThatNeedAKey();
  EXPECT_GE(methods.size(), kMethods - 1);  // All that are counted, but Check.
  EXPECT_THAT(methods, Contains("/attnd.v1.EncoderService/EncodeStream"));
  KeyedServer server(Callers{{.name = "search", .keys = {kKey}}});
  std::array<double, kDenials> denied{};
  std::set<std::string> answers;
  for (const std::string& method : methods) {
    for (const Row& row : WrongKeys()) {
      const auto reply = CallRaw(*server, method, kGarbage, row.authorization);
      answers.insert(ExpectDenied(reply.status, method + ", " + row.what));
      ++denied[static_cast<size_t>(row.denial)];
    }
    const auto reply = CallRaw(*server, method, kGarbage, {kGood});
    EXPECT_EQ(reply.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << method;
  }
  EXPECT_EQ(answers.size(), 1u);  // Whatever was wrong.
  EXPECT_EQ(server->model().computed(), 0);
  const auto series = Scrape(server.metrics_port());
  for (const Denial denial : {Denial::kMissing, Denial::kMalformed, Denial::kUnknown}) {
    const std::string name(DenialName(denial));
    EXPECT_EQ(series.at("attnd_calls_denied_total{reason=\"" + name + "\"}"),
              denied[static_cast<size_t>(denial)])
        << name;
  }
  EXPECT_EQ(
      series.at("attnd_requests_total{code=\"UNAUTHENTICATED\",method=\"Encode\",model=\"\"}"),
      WrongKeys().size());
  EXPECT_EQ(series.at("attnd_streams_total{code=\"UNAUTHENTICATED\"}"), WrongKeys().size());
  EXPECT_EQ(series.at("attnd_requests_in_flight"), 0);
  EXPECT_EQ(series.at("attnd_streams_open"), 0);
}

TEST(ApiKeysTest, MoreMetadataThanTheLimitIsRefusedByGrpc) {
  KeyedServer server(Callers{{.name = "search", .keys = {kKey}}});
  const auto reply = CallRaw(*server, "/attnd.v1.EncoderService/Encode", "",
                             {"Bearer " + std::string(20'000, 'k')});
  EXPECT_FALSE(reply.status.ok());
  EXPECT_TRUE(server.ClientWith(kKey).Encode({"a"}).ok());
}

TEST(ApiKeysTest, HealthIsForEverybody) {
  KeyedServer server(Callers{{.name = "search", .keys = {kKey}}});
  for (const std::string& key : {std::string(), std::string("wrong"), kKey}) {
    const Client client = server.ClientWith(key);
    const auto status = client.Health("attnd.v1.EncoderService");
    ASSERT_TRUE(status.ok()) << status.status();
    EXPECT_EQ(*status, client::ServingStatus::kServing);
    EXPECT_TRUE(client.WatchHealth("", [](client::ServingStatus) { return false; }).ok());
  }
  EXPECT_THAT(RegisteredServices(), Contains("grpc.health.v1.Health"));
}

TEST(ApiKeysTest, WithoutAFileNobodyIsAsked) {
  TestServer server;
  for (const Row& row : WrongKeys()) {
    const auto reply = CallRaw(server, "/attnd.v1.ModelService/ListModels", "", row.authorization);
    EXPECT_TRUE(reply.status.ok()) << row.what;
  }
}

TEST(ApiKeysTest, AKeyIsValidAsLongAsTheFileHasIt) {
  KeyedServer server(
      Callers{{.name = "search", .keys = {"old"}}, {.name = "batch", .keys = {"b"}}});
  const Client old_key = server.ClientWith("old"), new_key = server.ClientWith("new");
  const auto works = [](const Client& client) { return client.ListModels().ok(); };
  EXPECT_TRUE(works(old_key));
  EXPECT_FALSE(works(new_key));
  // A caller changes its key at leisure.
  server.WriteKeys(
      Callers{{.name = "search", .keys = {"old", "new"}}, {.name = "batch", .keys = {"b"}}});
  ASSERT_TRUE(Eventually([&] { return works(new_key); }));
  EXPECT_TRUE(works(old_key));
  server.WriteKeys(Callers{{.name = "search", .keys = {"new"}}, {.name = "late", .keys = {"l"}}});
  ASSERT_TRUE(Eventually([&] { return !works(old_key); }));
  EXPECT_TRUE(works(new_key));
  EXPECT_FALSE(works(server.ClientWith("b")));
  EXPECT_TRUE(works(server.ClientWith("l")));
  const auto refused = old_key.ListModels().status();
  EXPECT_TRUE(absl::IsUnauthenticated(refused));
  EXPECT_EQ(client::ErrorReason(refused), "UNAUTHENTICATED");
  // Who was there from the start is counted by name.
  const auto series = Scrape(server.metrics_port());
  EXPECT_GE(series.at("attnd_caller_requests_total{caller=\"search\"}"), 4);
  EXPECT_EQ(series.at("attnd_caller_requests_total{caller=\"batch\"}"), 0);
  EXPECT_EQ(series.at("attnd_caller_requests_total{caller=\"other\"}"), 1);
  EXPECT_EQ(series.count("attnd_caller_requests_total{caller=\"late\"}"), 0u);

  server.WriteKeys(Callers{});
  ASSERT_TRUE(Eventually([&] { return !works(new_key); }));
}

TEST(ApiKeysTest, ABadFileKeepsTheKeysOfBeforeAndRaisesAMetric) {
  KeyedServer server(Callers{{.name = "search", .keys = {kKey}}});
  const Client client = server.ClientWith(kKey);
  const auto metric = [&](const char* name) { return Scrape(server.metrics_port()).at(name); };
  EXPECT_EQ(metric("attnd_api_keys_stale"), 0);
  server.WriteKeys("{\"callers\": [");
  ASSERT_TRUE(Eventually([&] { return metric("attnd_api_keys_stale") == 1; }));
  EXPECT_EQ(metric("attnd_api_key_reloads_total{result=\"failed\"}"), 1);
  EXPECT_TRUE(client.Encode({"a"}).ok());
  server.WriteKeys(Callers{{.name = "search", .keys = {kKey, "another"}}});
  ASSERT_TRUE(Eventually([&] { return metric("attnd_api_keys_stale") == 0; }));
  EXPECT_EQ(metric("attnd_api_key_reloads_total{result=\"failed\"}"), 1);
  EXPECT_EQ(metric("attnd_api_key_reloads_total{result=\"ok\"}"), 1);
  EXPECT_TRUE(client.Encode({"a"}).ok());
}

TEST(ApiKeysTest, AServerDoesNotStartWithABadFile) {
  const auto tokenizer = *Tokenizer::Load(testing::TinyTokenizer());
  testing::StubModel model;
  const testing::TempDir folder;
  folder.Write("keys", "{}");
  std::filesystem::permissions(folder / "keys", std::filesystem::perms::owner_read);
  Config config = TestServer::DefaultConfig();
  for (const char* name : {"keys", "missing"}) {
    config.api_keys = folder / name;
    std::vector<ModelEntry> models;
    models.push_back(
        testing::StubEntry(testing::StubServedModel(tokenizer.get()), model, config.limits));
    const auto server =
        Server::Start(config, std::move(models), MakeLogger(LogFormat::kText, "error"));
    EXPECT_THAT(std::string(server.status().message()),
                HasSubstr("--api-keys: " + config.api_keys));
  }
}

TEST(ApiKeysTest, AnOpenStreamEndsAtTheNextMessageOfAKeyThatIsGone) {
  KeyedServer server(Callers{{.name = "search", .keys = {kKey}}, {.name = "batch", .keys = {"b"}}});
  const Client client = server.ClientWith(kKey);
  const auto stream = client.OpenEncodeStream();
  client::StreamReply reply;
  ASSERT_TRUE(stream->Send("1", {"a"}).ok());
  ASSERT_TRUE(stream->Receive(reply));
  EXPECT_TRUE(reply.result.ok()) << reply.result.status();
  // The same key, but somebody else's.
  server.WriteKeys(Callers{{.name = "batch", .keys = {kKey}}});
  ASSERT_TRUE(Eventually([&] { return !server.ClientWith("b").ListModels().ok(); }));
  ASSERT_TRUE(stream->Send("2", {"a"}).ok());
  stream->CloseSend();  // Not what ends it, unless the test fails.
  EXPECT_FALSE(stream->Receive(reply));
  EXPECT_TRUE(absl::IsUnauthenticated(stream->Finish()));
  EXPECT_EQ(server->model().computed(), 1);
}

}  // namespace
}  // namespace attnd
