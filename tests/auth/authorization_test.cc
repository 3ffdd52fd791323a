// Goal: a key is told from everything that is none, and two keys from each other, without a trace
// of the key. Method: a table of metadata values; digests that FIPS 180-4's tools give; two digests
// that differ in each one of their digits.

#include "server/auth/authorization.h"

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gtest/gtest.h"
#include "server/auth/key_digest.h"

namespace attnd {
namespace {

constexpr std::string_view kKey = "a-key_of.visible~characters+/=";

TEST(KeyDigestTest, ItIsTheSha256OfTheKey) {
  // printf abc | sha256sum
  EXPECT_EQ(DigestOf("abc"),
            ParseDigest("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
  EXPECT_EQ(DigestOf("abc"),
            ParseDigest("BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"));
}

TEST(KeyDigestTest, WhatIsNot64HexadecimalDigitsIsNone) {
  const std::string good(64, 'a');
  EXPECT_TRUE(ParseDigest(good));
  for (const std::string& bad : {std::string(), good.substr(1), good + "a", good.substr(1) + "g",
                                 good.substr(1) + " ", "0x" + good.substr(2)}) {
    EXPECT_FALSE(ParseDigest(bad)) << bad;
  }
}

TEST(KeyDigestTest, EveryDigitCounts) {
  const KeyDigest digest = DigestOf(kKey);
  EXPECT_TRUE(AreEqual(digest, DigestOf(kKey)));
  for (size_t i = 0; i < digest.size(); ++i) {
    KeyDigest other = digest;
    other[i] = other[i] == '0' ? '1' : '0';
    EXPECT_FALSE(AreEqual(digest, other)) << i;
  }
}

TEST(AuthorizationTest, OneBearerKeyIsRead) {
  for (const std::string scheme : {"Bearer ", "bearer ", "BEARER "}) {
    const std::string value = scheme + std::string(kKey);
    const auto read = ReadAuthorization(std::vector<std::string_view>{value});
    ASSERT_TRUE(std::holds_alternative<KeyDigest>(read)) << scheme;
    EXPECT_EQ(std::get<KeyDigest>(read), DigestOf(kKey));
  }
  const std::string longest = "Bearer " + std::string(kKeyBytesMax, 'k');
  EXPECT_TRUE(
      std::holds_alternative<KeyDigest>(ReadAuthorization(std::vector<std::string_view>{longest})));
}

TEST(AuthorizationTest, NoneIsMissing) {
  EXPECT_EQ(std::get<Denial>(ReadAuthorization({})), Denial::kMissing);
}

TEST(AuthorizationTest, EverythingElseIsMalformed) {
  const std::string key(kKey);
  const std::vector<std::string> values = {"",
                                           "Bearer",
                                           "Bearer ",
                                           key,
                                           "Bearer\t" + key,
                                           " Bearer " + key,
                                           "Bearer  " + key,
                                           "Bearer " + key + " ",
                                           "Bearer " + key + ", Bearer " + key,
                                           "Basic " + key,
                                           "Token " + key,
                                           "Bearer:" + key,
                                           "Bearer \xc3\xa4" + key,
                                           "Bearer " + key + std::string("\0", 1),
                                           "Bearer " + std::string(kKeyBytesMax + 1, 'k')};
  for (const std::string& value : values) {
    const auto read = ReadAuthorization(std::vector<std::string_view>{value});
    ASSERT_TRUE(std::holds_alternative<Denial>(read)) << value;
    EXPECT_EQ(std::get<Denial>(read), Denial::kMalformed) << value;
  }
}

TEST(AuthorizationTest, TwoAreMalformedEvenIfBothAreGood) {
  const std::string value = "Bearer " + std::string(kKey);
  const auto read = ReadAuthorization(std::vector<std::string_view>{value, value});
  EXPECT_EQ(std::get<Denial>(read), Denial::kMalformed);
}

}  // namespace
}  // namespace attnd
