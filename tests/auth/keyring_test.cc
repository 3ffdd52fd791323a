// Goal: a key is its caller's as long as the file says so, a caller keeps its number, and no more
// of its requests are in flight than may be. Method: a keyring against lists of keys; threads that
// take and give back places.

#include "server/auth/keyring.h"

#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace attnd {
namespace {

CallerKeys Keys(const std::string& name, const std::vector<std::string>& keys,
                int32_t requests_max = Caller::kNoLimit) {
  CallerKeys caller{.name = name, .requests_max = requests_max};
  for (const std::string& key : keys) caller.digests.push_back(DigestOf(key));
  return caller;
}

TEST(KeyringTest, AnEmptyOneKnowsNoKey) {
  EXPECT_EQ(Keyring().Find(DigestOf("")), nullptr);
  EXPECT_EQ(Keyring().Find(KeyDigest{}), nullptr);
}

TEST(KeyringTest, EachKeyIsItsCallersWhereverItStands) {
  std::vector<CallerKeys> callers;
  for (int i = 0; i < 64; ++i) {
    const std::string name = std::to_string(i);
    callers.push_back(Keys(name, {name + "a", name + "b"}));
  }
  Keyring keyring;
  ASSERT_TRUE(keyring.Replace(callers).ok());
  for (int i = 0; i < 64; ++i) {
    for (const char* end : {"a", "b"}) {
      const Caller* caller = keyring.Find(DigestOf(std::to_string(i) + end));
      ASSERT_NE(caller, nullptr);
      EXPECT_EQ(caller->name(), std::to_string(i));
      EXPECT_EQ(caller->number(), i + 1);
    }
    EXPECT_EQ(keyring.Find(DigestOf(std::to_string(i))), nullptr);
  }
}

TEST(KeyringTest, ADigestThatDiffersInOneDigitIsNobodys) {
  Keyring keyring;
  ASSERT_TRUE(keyring.Replace(std::vector{Keys("a", {"key"}), Keys("b", {"other"})}).ok());
  const KeyDigest digest = DigestOf("key");
  for (size_t i = 0; i < digest.size(); ++i) {
    KeyDigest near = digest;
    near[i] = near[i] == '0' ? '1' : '0';
    EXPECT_EQ(keyring.Find(near), nullptr) << i;
  }
}

TEST(KeyringTest, WhatIsReplacedIsGoneAndNamesKeepTheirNumbers) {
  Keyring keyring;
  ASSERT_TRUE(keyring.Replace(std::vector{Keys("a", {"1"}), Keys("b", {"2"}, 5)}).ok());
  Caller* const b = keyring.Find(DigestOf("2"));
  EXPECT_EQ(b->number(), 2);
  EXPECT_EQ(b->requests_max(), 5);

  ASSERT_TRUE(keyring.Replace(std::vector{Keys("c", {"1"}), Keys("b", {"3"})}).ok());
  EXPECT_EQ(keyring.Find(DigestOf("2")), nullptr);
  EXPECT_EQ(keyring.Find(DigestOf("3")), b);
  EXPECT_EQ(b->requests_max(), Caller::kNoLimit);
  EXPECT_EQ(keyring.Find(DigestOf("1"))->name(), "c");
  EXPECT_EQ(keyring.Find(DigestOf("1"))->number(), 3);

  ASSERT_TRUE(keyring.Replace({}).ok());
  EXPECT_EQ(keyring.Find(DigestOf("3")), nullptr);
  ASSERT_TRUE(keyring.Replace(std::vector{Keys("a", {"4"})}).ok());
  EXPECT_EQ(keyring.Find(DigestOf("4"))->number(), 1);
}

TEST(KeyringTest, TheNumberOfNamesHasALimitAndPassingItChangesNothing) {
  Keyring keyring;
  for (size_t i = 0; i + 1 < Keyring::kNamesMax; ++i) {
    ASSERT_TRUE(keyring.Replace(std::vector{Keys(std::to_string(i), {"key"})}).ok());
  }
  const std::vector<CallerKeys> two = {Keys("a", {"1"}), Keys("b", {"2"})};
  EXPECT_THAT(std::string(keyring.Replace(two).message()), ::testing::HasSubstr("4096"));
  EXPECT_EQ(keyring.Find(DigestOf("1")), nullptr);
  EXPECT_NE(keyring.Find(DigestOf("key")), nullptr);
  EXPECT_TRUE(keyring.Replace(std::vector{Keys("a", {"1"}), Keys("0", {"2"})}).ok());
  EXPECT_EQ(keyring.Find(DigestOf("1"))->number(), 4096);
}

TEST(CallerPlaceTest, AsManyAsMayBeAndNoMore) {
  Caller caller(1, "a");
  caller.set_requests_max(2);
  auto first = CallerPlace::Take(caller);
  const auto second = CallerPlace::Take(caller);
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(CallerPlace::Take(caller));
  first->GiveBack();
  first->GiveBack();  // Once only.
  EXPECT_FALSE(first->is_taken());
  auto third = CallerPlace::Take(caller);
  ASSERT_TRUE(third);
  EXPECT_FALSE(CallerPlace::Take(caller));
  {
    CallerPlace moved = *std::move(third);
    EXPECT_FALSE(CallerPlace::Take(caller));
  }
  EXPECT_TRUE(CallerPlace::Take(caller));
}

TEST(CallerPlaceTest, ALimitThatSinksIsKeptOnceThoseInFlightAreDone) {
  Caller caller(1, "a");
  auto first = CallerPlace::Take(caller), second = CallerPlace::Take(caller);
  caller.set_requests_max(1);
  EXPECT_FALSE(CallerPlace::Take(caller));
  first->GiveBack();
  EXPECT_FALSE(CallerPlace::Take(caller));
  second->GiveBack();
  EXPECT_TRUE(CallerPlace::Take(caller));
}

TEST(CallerPlaceTest, ThreadsTogetherKeepTheLimit) {
  Caller caller(1, "a");
  caller.set_requests_max(3);
  std::atomic<int> held = 0;
  std::atomic<bool> passed = false;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20'000; ++i) {
        const auto place = CallerPlace::Take(caller);
        if (!place) continue;
        if (++held > 3) passed = true;
        --held;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(passed);
  const auto a = CallerPlace::Take(caller), b = CallerPlace::Take(caller);
  EXPECT_TRUE(CallerPlace::Take(caller));  // All were given back.
}

}  // namespace
}  // namespace attnd
