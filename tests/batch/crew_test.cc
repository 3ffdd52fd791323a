// Goal: each part of a phase is run once, by its lead or a helper, and whoever waits is always
// woken. Method: a lead and helpers on threads that come, go and are late, some thousand phases.
// Standard threads only, so that ThreadSanitizer sees all.
#include "core/batch/crew.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <stdexcept>
#include <thread>
#include <vector>

namespace attnd {
namespace {

TEST(CrewTest, ALeadAloneRunsEveryPartInOrder) {
  Crew crew(3);
  std::vector<int64_t> indices;
  crew.For(5, [&](int64_t index, int member) {
    EXPECT_EQ(member, 3);
    indices.push_back(index);
  });
  EXPECT_EQ(indices, (std::vector<int64_t>{0, 1, 2, 3, 4}));
  crew.Open(2);  // Nobody comes.
  indices.clear();
  crew.For(3, [&](int64_t index, int) { indices.push_back(index); });
  EXPECT_EQ(indices, (std::vector<int64_t>{0, 1, 2}));
  crew.Close();
}

TEST(CrewTest, AHelperTakesPartsWhileTheLeadIsBusy) {
  Crew crew(0);
  std::atomic<bool> leave = false;
  crew.Open(2);
  std::thread helper([&] { crew.Help(1, leave); });
  std::latch both(2);
  std::atomic<int> members = 0;
  // Each waits for the other, so that neither can run both.
  crew.For(2, [&](int64_t, int member) {
    members += member;
    both.arrive_and_wait();
  });
  EXPECT_EQ(members, 1);
  crew.Close();
  helper.join();
}

TEST(CrewTest, AHelperLeavesWhenItIsWantedElsewhere) {
  Crew crew(0);
  std::atomic<bool> leave = true;
  crew.Open(2);
  std::thread helper([&] { crew.Help(1, leave); });
  helper.join();
  crew.Close();
  leave = false;
  std::thread late([&] { crew.Help(1, leave); });  // Closed: nothing to stay for.
  late.join();
}

TEST(CrewTest, WhatAPartThrowsReachesTheLeadAfterAllHaveReturned) {
  Crew crew(0);
  std::atomic<bool> leave = false;
  crew.Open(2);
  std::thread helper([&] { crew.Help(1, leave); });
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> ran = 0;
    EXPECT_THROW(crew.For(8,
                          [&](int64_t index, int) {
                            ++ran;
                            if (index == 5) throw std::runtime_error("no memory");
                          }),
                 std::runtime_error);
    EXPECT_EQ(ran, 8);
    crew.For(4, [&](int64_t, int) { ++ran; });  // And the next phase is as ever.
    EXPECT_EQ(ran, 12);
  }
  crew.Close();
  helper.join();
}

TEST(CrewTest, EveryPartRunsOnceHoweverHelpersComeAndGo) {
  constexpr int kHelpers = 3, kBatches = 300;
  Crew crew(0);
  std::atomic<bool> leave = false, end = false;
  std::vector<std::thread> helpers;
  for (int member = 1; member <= kHelpers; ++member) {
    helpers.emplace_back([&, member] {
      for (int round = 0; !end; ++round) {
        crew.Help(member, leave);
        if (round % 64 == 0) std::this_thread::yield();
      }
    });
  }
  std::atomic<int64_t> by_helpers = 0;
  // As long as it takes the threads to start.
  for (int batch = 0; batch < kBatches || by_helpers == 0; ++batch) {
    crew.Open(1 + kHelpers);
    for (int phase = 0; phase < 20; ++phase) {
      const int64_t count = 1 + (batch * 7 + phase * 3) % 40;
      std::vector<int> runs(static_cast<size_t>(count));  // Not atomic: each part is one thread's.
      crew.For(count, [&](int64_t index, int member) {
        ++runs[static_cast<size_t>(index)];
        by_helpers += member > 0;
      });
      for (const int run : runs) ASSERT_EQ(run, 1);
      leave = phase % 5 == 0;
    }
    crew.Close();
  }
  end = true;
  for (std::thread& helper : helpers) helper.join();
}

}  // namespace
}  // namespace attnd
