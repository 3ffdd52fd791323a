// Goal: every knob is read from flag, environment and file, keeps to its range, and a mistake exits
// with 2 and names it. Method: ReadConfig on made-up arguments; the environment is set and unset
// within a test.

#include <cstdlib>
#include <fstream>
#include <string>
#include <variant>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/address.h"
#include "server/config.h"
#include "server/cpu_quota.h"

namespace attnd {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

std::variant<Config, ConfigCheck, ConfigExit> Read(std::vector<std::string> flags) {
  unsetenv("ATTND_MODEL");  // Where the other tests find the default model.
  flags.insert(flags.begin(), "attnd");
  std::vector<const char*> arguments;
  for (const std::string& flag : flags) arguments.push_back(flag.c_str());
  return ReadConfig(static_cast<int>(arguments.size()), arguments.data());
}

Config Good(std::vector<std::string> flags) {
  flags.insert(flags.begin(), {"--model", "/models/mini"});
  const auto result = Read(flags);
  const auto* exit = std::get_if<ConfigExit>(&result);
  EXPECT_EQ(exit, nullptr) << (exit ? exit->text : "");
  return exit ? Config{} : std::get<Config>(result);
}

void ExpectRefused(std::vector<std::string> flags, const std::string& says) {
  flags.insert(flags.begin(), {"--model", "/models/mini"});
  const auto result = Read(flags);
  const auto* exit = std::get_if<ConfigExit>(&result);
  ASSERT_NE(exit, nullptr) << says;
  EXPECT_EQ(exit->code, 2);
  EXPECT_THAT(exit->text, HasSubstr(says));
}

// A file in the test's own folder.
std::string WriteFile(const std::string& name, const std::string& text) {
  const std::string path = ::testing::TempDir() + name;
  std::ofstream(path) << text;
  return path;
}

// The configuration reads ATTND_MODEL, which the tests of other programs are given.
class CleanEnvironment : public ::testing::Environment {
  void SetUp() override { unsetenv("ATTND_MODEL"); }
};
const auto* const kCleanEnvironment = ::testing::AddGlobalTestEnvironment(new CleanEnvironment);

TEST(ConfigTest, DefaultsServeThisMachineAlone) {
  const Config config = Good({});
  EXPECT_EQ(config.models.at(0).name, "mini");
  EXPECT_EQ(config.models.at(0).path, "/models/mini");
  EXPECT_EQ(config.listen, "127.0.0.1:50051");
  EXPECT_EQ(config.metrics_listen, "127.0.0.1:9090");
  EXPECT_FALSE(config.insecure);
  EXPECT_FALSE(config.reflection);
  EXPECT_EQ(config.limits.inputs_per_request, 32);
  EXPECT_EQ(config.limits.message_bytes, 4 << 20);
  EXPECT_EQ(config.limits.documents_per_request, 256);
  EXPECT_EQ(config.limits.candidates_per_mask, 100);
  EXPECT_EQ(config.limits.answers_per_question, 100);
  EXPECT_EQ(config.limits.default_deadline, seconds(10));
  EXPECT_EQ(config.connection.streams, 100);
}

TEST(ConfigTest, AModelMayHaveAName) {
  const auto named = Read({"--model", "a=/b/c"});
  EXPECT_EQ(std::get<Config>(named).models.at(0).name, "a");
  EXPECT_EQ(std::get<Config>(named).models.at(0).path, "/b/c");
  const auto unnamed = Read({"--model", "/b/c/"});
  EXPECT_EQ(std::get<Config>(unnamed).models.at(0).name, "c");
  for (const char* wrong : {"a b=/c", "a=", "/", "=/b"}) {
    EXPECT_THAT(std::get<ConfigExit>(Read({"--model", wrong})).text, HasSubstr("--model"));
  }
}

TEST(ConfigTest, ModelsHaveNamesWeightsAndQueuesOfTheirOwn) {
  const auto result =
      Read({"--model", "a=/x", "--model", "/y/b", "--model-weight", "b=2.5", "--model-queue-tokens",
            "b=5000", "--model-queue-requests=a=7", "--model-queue-bytes", "a=2000000"});
  const auto& config = std::get<Config>(result);
  ASSERT_EQ(config.models.size(), 2u);
  const ModelSource &a = config.models[0], &b = config.models[1];
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(b.path, "/y/b");
  EXPECT_EQ(a.weight, 1);
  EXPECT_EQ(b.weight, 2.5);
  const Limits of_a = LimitsOf(a, config.limits, 512), of_b = LimitsOf(b, config.limits, 8192);
  EXPECT_EQ(of_a.queue_requests, 7);
  EXPECT_EQ(of_a.queue_bytes, 2'000'000);
  EXPECT_EQ(of_a.queue_tokens, config.limits.queue_tokens);
  EXPECT_EQ(of_a.batch_tokens, config.limits.batch_tokens);
  // The longest sequence fits a batch, and a batch the queue.
  EXPECT_EQ(of_b.batch_tokens, 8192);
  EXPECT_EQ(of_b.queue_tokens, 8192);
  EXPECT_EQ(of_b.queue_requests, config.limits.queue_requests);
}

TEST(ConfigTest, WhatIsWrongWithAModelsFlagsIsNamed) {
  ExpectRefused({"--model", "/other/mini"}, "--model: two models have the name \"mini\"");
  ExpectRefused({"--model-weight", "other=1"}, "--model-weight: \"other=1\"");
  ExpectRefused({"--model-weight", "mini"}, "--model-weight: \"mini\"");
  for (const char* wrong : {"mini=0", "mini=101", "mini=x", "mini=", "mini=nan"}) {
    ExpectRefused({"--model-weight", wrong}, "--model-weight");
  }
  ExpectRefused({"--model-weight", "mini=1", "--model-weight", "mini=2"}, "not the first");
  ExpectRefused({"--model-weight", "mini=1", "--model-weight", ""}, "--model-weight: \"\"");
  ExpectRefused({"--model-queue-tokens", "mini=15"}, "NAME=16 to 16777216");
  ExpectRefused({"--model-queue-tokens", "mini=1024"}, "below --batch-tokens 4096");
  ExpectRefused({"--model-queue-requests", "mini=0"}, "--model-queue-requests");
  ExpectRefused({"--model-queue-bytes", "mini=1"}, "--model-queue-bytes");
  ExpectRefused({"--model-queue-bytes", "mini=1000000000"}, "above --held-bytes");
}

TEST(ConfigTest, TheEnvironmentAndAFileNameSeveralModels) {
  setenv("ATTND_MODEL_WEIGHT", "a=2;b=3", 1);
  const auto result =
      Read({"--config", WriteFile("models.conf", "model = [\"a=/x\", \"b=/y\"]\n")});
  unsetenv("ATTND_MODEL_WEIGHT");
  const auto* config = std::get_if<Config>(&result);
  ASSERT_NE(config, nullptr) << std::get<ConfigExit>(result).text;
  ASSERT_EQ(config->models.size(), 2u);
  EXPECT_EQ(config->models[1].name, "b");
  EXPECT_EQ(config->models[0].weight, 2);
  EXPECT_EQ(config->models[1].weight, 3);
}

TEST(ConfigTest, ThePrecisionIsOneThatIsComputedIn) {
  EXPECT_EQ(Good({}).precision, Precision::kF32);
  EXPECT_EQ(Good({"--precision", "int8"}).precision, Precision::kInt8);
  EXPECT_EQ(Good({"--precision", "bf16"}).precision, Precision::kBf16);
  const Config own = Good({"--model", "b=/b", "--model-precision", "b=int8"});
  EXPECT_EQ(own.models.at(0).precision, std::nullopt);
  EXPECT_EQ(own.models.at(1).precision, Precision::kInt8);
  for (const char* wrong : {"BF16", "INT8", "f16"}) {
    ExpectRefused({"--precision", wrong}, std::string("--precision: ") + wrong);
    ExpectRefused({"--precision", wrong}, "{f32,bf16,int8}");
    ExpectRefused({"--model-precision", std::string("mini=") + wrong},
                  std::string("--model-precision: \"mini=") + wrong +
                      "\" is not NAME=f32, NAME=bf16 or NAME=int8");
  }
}

TEST(ConfigTest, HowNearToF32AModelMustBeIsAPartOfOne) {
  EXPECT_EQ(Good({}).accuracy_min, 0.99);
  EXPECT_EQ(Good({}).calibration_texts, "");
  EXPECT_EQ(Good({"--calibration-texts", "/texts"}).calibration_texts, "/texts");
  for (const auto& [text, value] :
       {std::pair("0", 0.0), std::pair("0.995", 0.995), std::pair("1", 1.0)}) {
    EXPECT_EQ(Good({"--accuracy-min", text}).accuracy_min, value);
  }
  for (const char* wrong : {"1.01", "-0.5", "nan", "inf", "99%", "0,99", ""}) {
    ExpectRefused({std::string("--accuracy-min=") + wrong}, "--accuracy-min");
  }
  ExpectRefused({"--accuracy-min", "2"}, "\"2\" is not a number from 0 to 1");
}

TEST(ConfigTest, SharingIsOnAndKeepingOffUntilSaidOtherwise) {
  EXPECT_TRUE(Good({}).share_identical);
  EXPECT_EQ(Good({}).result_cache_bytes, 0);
  EXPECT_FALSE(Good({"--no-share-identical"}).share_identical);
  EXPECT_FALSE(Good({"--share-identical=false"}).share_identical);
  setenv("ATTND_SHARE_IDENTICAL", "true", 1);
  EXPECT_FALSE(Good({"--no-share-identical"}).share_identical);
  setenv("ATTND_SHARE_IDENTICAL", "false", 1);
  EXPECT_FALSE(Good({}).share_identical);
  EXPECT_TRUE(Good({"--share-identical"}).share_identical);
  unsetenv("ATTND_SHARE_IDENTICAL");
  // What --check-config prints is what holds.
  const auto printed = Read({"--model", "/models/mini", "--check-config"});
  EXPECT_THAT(std::get<ConfigCheck>(printed).text, HasSubstr("share-identical=true"));
  EXPECT_EQ(Good({"--result-cache-bytes", "1000"}).result_cache_bytes, 1000);
}

TEST(ConfigTest, FlagsWinOverEnvironmentAndThatOverTheFile) {
  const std::string file = WriteFile("order.conf",
                                     "batch-tokens = 128\nqueue-tokens = 512\n"
                                     "workers = 7\n");
  setenv("ATTND_BATCH_TOKENS", "256", 1);
  setenv("ATTND_QUEUE_TOKENS", "1024", 1);
  const Config config = Good({"--config", file, "--queue-tokens", "2048"});
  unsetenv("ATTND_BATCH_TOKENS");
  unsetenv("ATTND_QUEUE_TOKENS");
  EXPECT_EQ(config.limits.queue_tokens, 2048);
  EXPECT_EQ(config.limits.batch_tokens, 256);
  EXPECT_EQ(config.workers, 7);
}

TEST(ConfigTest, AnEmptyVariableTurnsMetricsOffAndMeansNothingElse) {
  setenv("ATTND_METRICS_LISTEN", "", 1);
  setenv("ATTND_LISTEN", "", 1);
  const Config config = Good({});
  unsetenv("ATTND_METRICS_LISTEN");
  unsetenv("ATTND_LISTEN");
  EXPECT_EQ(config.metrics_listen, "");
  EXPECT_EQ(config.listen, "127.0.0.1:50051");
}

TEST(ConfigTest, DurationsNeedAUnit) {
  EXPECT_EQ(Good({"--batch-delay", "2ms"}).batch_delay, milliseconds(2));
  EXPECT_EQ(Good({"--drain-timeout", "1.5s"}).drain_timeout, milliseconds(1500));
  ExpectRefused({"--drain-timeout", "5"}, "--drain-timeout");
  ExpectRefused({"--batch-delay", "-1ms"}, "--batch-delay");
  ExpectRefused({"--batch-delay", "101ms"}, "100ms");
}

TEST(ConfigTest, MistakesNameTheirFlag) {
  ExpectRefused({"--batch-token", "5"}, "--batch-token");
  ExpectRefused({"--batch-tokens", "0"}, "--batch-tokens");
  ExpectRefused({"--batch-tokens", "65537"}, "16 to 65536");
  ExpectRefused({"--batch-tokens", "many"}, "--batch-tokens");
  // What would be octal, and other forms that the check and the parser could take differently.
  for (const char* form : {"017", "00020", "0x20", "+64", " 64", "64 ", "1e2", "64.0"}) {
    ExpectRefused({"--batch-tokens", form}, "is not a whole number from 16 to 65536");
  }
  ExpectRefused({"--workers", "99999999999999999999"}, "--workers");
  ExpectRefused({"--log-format", "xml"}, "--log-format");
  ExpectRefused({"--log-level", "loud"}, "--log-level");
  ExpectRefused({"--default-deadline", "31s"}, "--default-deadline");
  ExpectRefused({"--queue-tokens", "4095"}, "--queue-tokens");
  ExpectRefused({"--config", "/nowhere/attnd.conf"}, "/nowhere/attnd.conf");
  const auto result = Read({});
  EXPECT_THAT(std::get<ConfigExit>(result).text, HasSubstr("--model"));
}

TEST(ConfigTest, WhatEncodeMayBeAskedForIsBound) {
  const Config config = Good({});
  EXPECT_EQ(config.limits.layers_per_request, 16);
  EXPECT_EQ(config.limits.attention_map_scores, 1 << 20);
  EXPECT_EQ(config.limits.spans_per_input, 512);
  EXPECT_EQ(Good({"--layers-per-request", "1024"}).limits.layers_per_request, 1024);
  EXPECT_EQ(Good({"--attention-map-scores", "7"}).limits.attention_map_scores, 7);
  EXPECT_EQ(Good({"--spans-per-input", "65536"}).limits.spans_per_input, 65'536);
  ExpectRefused({"--layers-per-request", "1025"}, "1 to 1024");
  ExpectRefused({"--attention-map-scores", "0"}, "--attention-map-scores");
  ExpectRefused({"--spans-per-input", "65537"}, "1 to 65536");
}

TEST(ConfigTest, LimitsOfHeadsKeepToTheirRanges) {
  const Config config = Good({"--documents-per-request", "4096", "--candidates-per-mask", "10000",
                              "--answers-per-question", "1"});
  EXPECT_EQ(config.limits.documents_per_request, 4096);
  EXPECT_EQ(config.limits.candidates_per_mask, 10'000);
  EXPECT_EQ(config.limits.answers_per_question, 1);
  ExpectRefused({"--documents-per-request", "4097"}, "1 to 4096");
  ExpectRefused({"--candidates-per-mask", "10001"}, "1 to 10000");
  ExpectRefused({"--answers-per-question", "0"}, "--answers-per-question");
}

TEST(ConfigTest, AnUnknownKeyInTheFileIsAnError) {
  ExpectRefused({"--config", WriteFile("unknown.conf", "batch-tokns = 128\n")}, "batch-tokns");
  ExpectRefused({"--config", WriteFile("range.conf", "batch-tokens = 1\n")}, "--batch-tokens");
}

TEST(ConfigTest, PlaintextBeyondThisMachineNeedsInsecure) {
  for (const char* address :
       {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "attnd.example:1", "127.evil.example:1"}) {
    ExpectRefused({"--listen", address}, "--insecure");
    ExpectRefused({"--metrics-listen", address}, "--insecure");
    EXPECT_TRUE(Good({"--listen", address, "--insecure"}).insecure);
  }
  for (const char* address :
       {"127.0.0.1:0", "127.1.2.3:5", "localhost:5", "[::1]:5", "unix:/run/attnd.sock"}) {
    EXPECT_EQ(Good({"--listen", address}).listen, address);
  }
  EXPECT_EQ(Good({"--metrics-listen", ""}).metrics_listen, "");
  ExpectRefused({"--metrics-listen", "unix:/x"}, "--metrics-listen");
}

TEST(ConfigTest, KeysAreAskedForWhereAFileIsNamedAndReflectionIsNotServedThen) {
  EXPECT_EQ(Good({}).api_keys, "");
  const Config config = Good({"--api-keys", "/keys.json", "--api-keys-refresh", "100ms"});
  EXPECT_EQ(config.api_keys, "/keys.json");
  EXPECT_EQ(config.api_keys_refresh, milliseconds(100));
  ExpectRefused({"--api-keys-refresh", "9ms"}, "--api-keys-refresh");
  ExpectRefused({"--api-keys", "/keys.json", "--reflection"}, "--reflection");
  EXPECT_TRUE(Good({"--reflection"}).reflection);
}

TEST(ConfigTest, KeysDoNotMakePlaintextSafeForOthersToReach) {
  ExpectRefused({"--listen", "0.0.0.0:1", "--api-keys", "/keys.json"}, "--insecure");
}

TEST(ConfigTest, TlsOpensTheAddressOfGrpcAloneToOthers) {
  const std::vector<std::string> tls = {"--tls-certificate", "/c", "--tls-key", "/k"};
  const auto with_tls = [&](std::vector<std::string> flags) {
    flags.insert(flags.end(), tls.begin(), tls.end());
    return flags;
  };
  for (const char* address : {"0.0.0.0:1", "[::]:1", "127.0.0.1:1", "unix:/run/attnd.sock"}) {
    const Config config = Good(with_tls({"--listen", address}));
    EXPECT_TRUE(config.tls.enabled());
    EXPECT_FALSE(config.insecure);
  }
  ExpectRefused(with_tls({"--metrics-listen", "0.0.0.0:1"}), "--metrics-listen");
  // gRPC changes certificates of one socket.
  for (const char* name : {"localhost:1", "attnd.example:1"}) {
    ExpectRefused(with_tls({"--listen", name}), "--listen: \"" + std::string(name));
  }
}

TEST(ConfigTest, TlsIsWholeOrNot) {
  EXPECT_FALSE(Good({}).tls.enabled());
  EXPECT_EQ(Good({}).tls.reload_interval, seconds(60));
  const std::vector<std::string> pair = {"--tls-certificate", "/c", "--tls-key", "/k"};
  const auto with_pair = [&](std::vector<std::string> flags) {
    flags.insert(flags.end(), pair.begin(), pair.end());
    return flags;
  };
  const Config config =
      Good(with_pair({"--tls-client-ca", "/ca", "--tls-client-name", "spiffe://a/b",
                      "--tls-client-name", "c.example", "--tls-reload-interval", "5s"}));
  EXPECT_EQ(config.tls.certificate, "/c");
  EXPECT_EQ(config.tls.key, "/k");
  EXPECT_EQ(config.tls.client_ca, "/ca");
  EXPECT_EQ(config.tls.client_names, (std::vector<std::string>{"spiffe://a/b", "c.example"}));
  EXPECT_EQ(config.tls.reload_interval, seconds(5));
  ExpectRefused({"--tls-certificate", "/c"}, "--tls-certificate: needs --tls-key");
  ExpectRefused({"--tls-key", "/k"}, "--tls-key: needs --tls-certificate");
  ExpectRefused({"--tls-client-ca", "/ca"}, "--tls-client-ca: needs --tls-certificate");
  ExpectRefused(with_pair({"--tls-client-name", "a"}), "--tls-client-name: needs --tls-client-ca");
  ExpectRefused(
      with_pair({"--tls-client-ca", "/ca", "--tls-client-name", "a", "--tls-client-name", ""}),
      "--tls-client-name: a name is empty");
  ExpectRefused(with_pair({"--tls-reload-interval", "999ms"}), "--tls-reload-interval");
}

TEST(ConfigTest, AddressesThatAreNone) {
  for (const char* text :
       {"", ":1", "host", "host:", "host:x", "host:-1", "host:65536", "::1:5", "unix:"}) {
    EXPECT_FALSE(ParseAddress(text).has_value()) << text;
  }
}

TEST(ConfigTest, CheckConfigPrintsAFileThatReadsBackTheSame) {
  const auto first = Read({"--model", "m=/m", "--model", "n=/n", "--model-weight", "n=2",
                           "--batch-delay", "3ms", "--no-share-identical", "--tls-certificate",
                           "/c", "--tls-key", "/k", "--check-config"});
  const auto& text = std::get<ConfigCheck>(first);
  EXPECT_EQ(text.config.models.at(0).path, "/m");
  EXPECT_THAT(text.text, HasSubstr("batch-delay=\"3ms\""));
  EXPECT_THAT(text.text, HasSubstr("deadline-cap=\"30s\""));
  const auto second = Read({"--config", WriteFile("printed.conf", text.text), "--check-config"});
  EXPECT_EQ(std::get<ConfigCheck>(second).text, text.text);
}

TEST(ConfigTest, HelpShowsDefaultUnitAndRangeOfEachKnob) {
  const auto result = Read({"--help"});
  const auto& help = std::get<ConfigExit>(result);
  EXPECT_EQ(help.code, 0);
  // CLI11 2.1 writes a default as "=4096", 2.4 as " [4096]".
  EXPECT_THAT(help.text, ContainsRegex("16 to 65536( \\[|=)4096"));
  EXPECT_THAT(help.text, ContainsRegex("0 to 100ms( \\[|=)0"));
  EXPECT_THAT(help.text, HasSubstr("ATTND_MESSAGE_BYTES"));
}

TEST(CpuQuotaTest, QuotasAreWholeCpusAndAtLeastOne) {
  EXPECT_EQ(ParseCpuMax("200000 100000\n"), 2);
  EXPECT_EQ(ParseCpuMax("250000 100000"), 2);
  EXPECT_EQ(ParseCpuMax("50000 100000"), 1);
  for (const char* text : {"max 100000", "", "-1\n 100000", "100000", "100000 0"}) {
    EXPECT_EQ(ParseCpuMax(text), std::nullopt) << text;
  }
  EXPECT_GE(ReadCpuQuota().cpus, 1);
}

TEST(CpuQuotaTest, TheCgroupsPathIsThatOfVersionTwo) {
  EXPECT_EQ(FindCgroupV2("4:cpu:/x\n0::/a/b\n"), "/a/b");
  EXPECT_EQ(FindCgroupV2("4:cpu:/x\n"), std::nullopt);
  EXPECT_EQ(FindCgroupV2(""), std::nullopt);
}

}  // namespace
}  // namespace attnd
