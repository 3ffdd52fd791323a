// Goal: kept results are those that were computed, within the bound, and the least recently used go
// first. Method: small tasks by hand, then threads that check each other's numbers.
#include "core/batch/result_cache.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace attnd {
namespace {

EncodeTask TaskOf(float value, size_t size = 16) {
  EncodeTask task;
  task.pooled_out.assign(size, value);
  task.rows_out.assign(2, -value);
  return task;
}

TEST(ResultCacheTest, GivesBackAllOutputs) {
  ResultCache cache(1 << 20);
  EncodeTask found;
  EXPECT_FALSE(cache.Find("a", found));
  EXPECT_TRUE(found.pooled_out.empty());
  cache.Insert("a", TaskOf(3));
  ASSERT_TRUE(cache.Find("a", found));
  EXPECT_EQ(found.pooled_out, TaskOf(3).pooled_out);
  EXPECT_EQ(found.rows_out, TaskOf(3).rows_out);
  EXPECT_TRUE(found.logits_out.empty());
  EXPECT_FALSE(cache.Find("b", found));
}

TEST(ResultCacheTest, WhatWasNotUsedForLongestGoesFirst) {
  ResultCache cache(10'000);
  for (int i = 0; i < 100; ++i) {
    cache.Insert(std::to_string(i), TaskOf(static_cast<float>(i)));
    EncodeTask first;
    ASSERT_TRUE(cache.Find("0", first)) << i;  // Always in use.
    EXPECT_LE(cache.usage().bytes, 10'000);
  }
  EncodeTask task;
  EXPECT_FALSE(cache.Find("1", task));
  EXPECT_TRUE(cache.Find("99", task));
  const ResultCache::Usage usage = cache.usage();
  EXPECT_GT(usage.entries, 5);
  EXPECT_EQ(usage.evictions, 100 - usage.entries);
}

TEST(ResultCacheTest, OneResultCannotPushOutAllOthers) {
  ResultCache cache(80'000);
  cache.Insert("large", TaskOf(1, 80'000 / 8 / sizeof(float)));
  EncodeTask task;
  EXPECT_FALSE(cache.Find("large", task));
  cache.Insert("small", TaskOf(1));
  EXPECT_TRUE(cache.Find("small", task));
}

TEST(ResultCacheTest, AKeyIsKeptOnce) {
  ResultCache cache(1 << 20);
  cache.Insert("a", TaskOf(1));
  const ResultCache::Usage before = cache.usage();
  cache.Insert("a", TaskOf(1));
  EXPECT_EQ(cache.usage().bytes, before.bytes);
  EXPECT_EQ(cache.usage().entries, 1);
}

TEST(ResultCacheTest, ThreadsNeverSeeAnothersResult) {
  ResultCache cache(20'000);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&cache, t] {
      for (int i = 0; i < 5'000; ++i) {
        const int value = (i * 7 + t) % 40;
        EncodeTask task;
        if (cache.Find(std::to_string(value), task)) {
          EXPECT_EQ(task.pooled_out, TaskOf(static_cast<float>(value)).pooled_out);
        } else {
          cache.Insert(std::to_string(value), TaskOf(static_cast<float>(value)));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(cache.usage().bytes, 20'000);
}

}  // namespace
}  // namespace attnd
