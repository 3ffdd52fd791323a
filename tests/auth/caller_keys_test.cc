// Goal: a key file says who may call, what is wrong with one is named, and nothing of it is quoted.
// Method: texts and what they read as; a canary in every place that somebody might put a key in.

#include "server/auth/caller_keys.h"

#include <string>
#include <string_view>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace attnd {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;

std::string Hex(std::string_view key) {
  const KeyDigest digest = DigestOf(key);
  return {digest.begin(), digest.end()};
}

Json Good(const std::string& name = "search") {
  return {{"name", name}, {"key_sha256", {Hex(name)}}};
}

std::string Of(const Json& callers) { return Json{{"callers", callers}}.dump(); }

std::string Error(const std::string& text) {
  const auto callers = ParseCallerKeys(text);
  EXPECT_FALSE(callers.ok()) << text;
  return std::string(callers.status().message());
}

// The error of a file whose second caller has `field` set to `value`.
std::string ErrorWith(const char* field, const Json& value) {
  Json caller = Good("second");
  caller[field] = value;
  return Error(Of({Good("first"), caller}));
}

TEST(CallerKeysTest, TheExampleOfTheHeaderIsRead) {
  const std::string text = R"({"callers": [
    {"name": "search", "key_sha256": [")" +
                           Hex("a") + R"("]},
    {"name": "batch", "key_sha256": [")" +
                           Hex("b") + "\", \"" + Hex("c") +
                           R"("], "requests_in_flight_max": 8}
  ]})";
  const auto callers = ParseCallerKeys(text);
  ASSERT_TRUE(callers.ok()) << callers.status();
  ASSERT_EQ(callers->size(), 2u);
  EXPECT_EQ((*callers)[0].name, "search");
  EXPECT_EQ((*callers)[0].digests, std::vector<KeyDigest>{DigestOf("a")});
  EXPECT_EQ((*callers)[0].requests_max, Caller::kNoLimit);
  EXPECT_EQ((*callers)[1].digests, (std::vector<KeyDigest>{DigestOf("b"), DigestOf("c")}));
  EXPECT_EQ((*callers)[1].requests_max, 8);
}

TEST(CallerKeysTest, AnEmptyListLetsNobodyCall) {
  const auto callers = ParseCallerKeys(R"({"callers": []})");
  ASSERT_TRUE(callers.ok()) << callers.status();
  EXPECT_TRUE(callers->empty());
}

TEST(CallerKeysTest, WhatIsNoKeyFileIsRefused) {
  const std::string good = Of({Good()});
  for (size_t size = 0; size < good.size(); ++size) Error(good.substr(0, size));
  for (const char* text : {"[]", "null", "1", "\"callers\"", "{}", R"({"callers": {}})",
                           R"({"callers": null})", R"({"callers": [], "keys": []})",
                           R"({"callers": [], "callers": []})", R"({"callers": []} x)"}) {
    Error(text);
  }
}

TEST(CallerKeysTest, AnErrorNamesThePlaceAndWhatIsWanted) {
  EXPECT_THAT(Error(Of({Good(), 1})), HasSubstr("callers[1]: an object of name"));
  EXPECT_THAT(ErrorWith("weight", 2), HasSubstr("callers[1]: an object of name"));
  const std::vector<Json> names = {nullptr, 1, "", "a b", "\xc3\xa4", std::string(65, 'a')};
  for (const Json& name : names) {
    EXPECT_THAT(ErrorWith("name", name), HasSubstr("callers[1].name: 1 to 64 letters"));
  }
  EXPECT_THAT(ErrorWith("name", "other"), HasSubstr("callers[1].name: \"other\""));
  EXPECT_THAT(ErrorWith("name", "first"), HasSubstr("callers[1].name: another caller"));
  const std::vector<Json> lists = {nullptr, Hex("a"), Json::array(), Json(9, Hex("a"))};
  for (const Json& list : lists) {
    EXPECT_THAT(ErrorWith("key_sha256", list),
                HasSubstr("callers[1].key_sha256: a list of 1 to 8 digests"));
  }
  const std::vector<Json> digests = {nullptr, 1, "", "abc", Hex("a") + "0", Json::array()};
  for (const Json& digest : digests) {
    EXPECT_THAT(ErrorWith("key_sha256", Json::array({Hex("a"), digest})),
                HasSubstr("callers[1].key_sha256[1]: 64 hexadecimal digits"));
  }
  EXPECT_THAT(ErrorWith("key_sha256", {Hex("")}), HasSubstr("digest of an empty text"));
  EXPECT_THAT(ErrorWith("key_sha256", {Hex("first")}), HasSubstr("a digest is there twice"));
  EXPECT_THAT(ErrorWith("key_sha256", {Hex("a"), Hex("a")}), HasSubstr("a digest is there twice"));
  const std::vector<Json> numbers = {nullptr, 0, -1, 1.5, 8.0, "8", kCallerRequestsMax + 1};
  for (const Json& number : numbers) {
    EXPECT_THAT(ErrorWith("requests_in_flight_max", number),
                HasSubstr("callers[1].requests_in_flight_max: a whole number from 1 to 1048576"));
  }
}

TEST(CallerKeysTest, TheNumberOfCallersHasALimit) {
  Json callers = Json::array();
  for (size_t i = 0; i < kKeyFileCallersMax; ++i) callers.push_back(Good(std::to_string(i)));
  EXPECT_TRUE(ParseCallerKeys(Of(callers)).ok());
  callers.push_back(Good());
  EXPECT_THAT(Error(Of(callers)), HasSubstr("callers: 257 are more than the limit of 256"));
}

TEST(CallerKeysTest, NoErrorQuotesTheFile) {
  const std::string canary = "canary-6f1d";
  Json as_field = Good();
  as_field[canary] = 1;
  const std::vector<std::string> texts = {canary,
                                          "{\"" + canary,
                                          "{\"callers\": " + canary + "}",
                                          "{\"" + canary + "\": 1, \"" + canary + "\": 2}",
                                          Json{{canary, Json::array()}}.dump(),
                                          Of(canary),
                                          Of({canary}),
                                          Of({as_field})};
  for (const std::string& text : texts) EXPECT_THAT(Error(text), Not(HasSubstr("canary")));
  EXPECT_THAT(ErrorWith("name", canary + " "), Not(HasSubstr("canary")));
  EXPECT_THAT(ErrorWith("key_sha256", canary), Not(HasSubstr("canary")));
  EXPECT_THAT(ErrorWith("key_sha256", {canary}), Not(HasSubstr("canary")));
  EXPECT_THAT(ErrorWith("requests_in_flight_max", canary), Not(HasSubstr("canary")));
}

}  // namespace
}  // namespace attnd
