// Goal: each index is called once, on as many threads as there may be, and the error is the one
// that a plain loop would have met first. Method: counts, and parts that wait for each other.
#include "core/base/parallel.h"

#include <atomic>
#include <latch>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/base/mutex.h"
#include "core/base/strings.h"
#include "gtest/gtest.h"

namespace attnd {
namespace {

TEST(ParallelForTest, CallsEachIndexOnce) {
  for (const int threads : {0, 1, 3, 50}) {
    for (const int64_t count : {0, 1, 2, 37}) {
      std::vector<std::atomic<int>> calls(static_cast<size_t>(count));
      EXPECT_TRUE(ParallelFor(count, threads, [&](int64_t index) {
                    ++calls[static_cast<size_t>(index)];
                    return absl::OkStatus();
                  }).ok());
      for (const std::atomic<int>& one : calls) EXPECT_EQ(one, 1);
    }
  }
}

TEST(ParallelForTest, WorksOnThatManyThreadsOfWhichTheCallerIsOne) {
  constexpr int kThreads = 3;
  // Nobody goes on before all have come: with fewer threads this would not end.
  std::latch all(kThreads);
  Mutex mutex;
  std::set<std::thread::id> seen;
  EXPECT_TRUE(ParallelFor(kThreads, kThreads, [&](int64_t) {
                all.arrive_and_wait();
                const MutexLock lock(mutex);
                seen.insert(std::this_thread::get_id());
                return absl::OkStatus();
              }).ok());
  EXPECT_EQ(seen.size(), 3U);
  EXPECT_EQ(seen.count(std::this_thread::get_id()), 1U);
}

TEST(ParallelForTest, TellsTheErrorOfTheLowestIndex) {
  for (int repeat = 0; repeat < 200; ++repeat) {
    const absl::Status status = ParallelFor(20, 3, [](int64_t index) {
      return index == 4 || index >= 6 ? absl::InvalidArgumentError(StrCat("part ", index))
                                      : absl::OkStatus();
    });
    ASSERT_EQ(status.message(), "part 4");
  }
}

TEST(ParallelForTest, StopsAfterAnError) {
  int calls = 0;
  const absl::Status status = ParallelFor(1000, 1, [&](int64_t) {
    ++calls;
    return absl::InternalError("no");
  });
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace attnd
