// Goal: each part of a phase is run once, by its lead or a helper, and whoever waits is always
// woken. Method: a lead and helpers on threads that come, go and are late, some thousand phases.
// Standard threads only, so that ThreadSanitizer sees all.
#include "core/batch/crew.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <stdexcept>
#include <thread>
#include <vector>

namespace attnd {
namespace {

bool Stay() { return false; }

void Pass(std::chrono::milliseconds time) {
  const auto until = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
}

TEST(CrewTest, ALeadAloneRunsEveryPartInOrder) {
  Crew crew(3);
  std::vector<int64_t> indices;
  crew.For(5, [&](int64_t index, int member) {
    EXPECT_EQ(member, 3);
    indices.push_back(index);
  });
  EXPECT_EQ(indices, (std::vector<int64_t>{0, 1, 2, 3, 4}));
  crew.Open(1);  // Nobody comes.
  indices.clear();
  crew.For(3, [&](int64_t index, int) { indices.push_back(index); });
  EXPECT_EQ(indices, (std::vector<int64_t>{0, 1, 2}));
  crew.Close();
}

TEST(CrewTest, AHelperTakesPartsWhileTheLeadIsBusy) {
  Crew crew(0);
  crew.Open(1);
  std::thread helper([&] { crew.Help(1, Stay); });
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
  crew.Open(1);
  std::thread helper([&] { crew.Help(1, [] { return true; }); });
  helper.join();
  crew.Close();
  std::thread late([&] { crew.Help(1, Stay); });  // Closed: nothing to stay for.
  late.join();
}

// Longer than a helper spins, with a wide margin; a helper that is not yet asleep passes too.
void LetItSleep() { Pass(std::chrono::milliseconds(30)); }

TEST(CrewTest, AHelperThatSleepsIsWokenToLeave) {
  Crew crew(0);
  crew.Open(1);
  std::atomic<bool> leave = false;
  std::thread helper([&] { crew.Help(1, [&] { return leave.load(); }); });
  LetItSleep();
  leave = true;
  crew.Ring();
  helper.join();  // Though the lead neither begins a phase nor closes the crew.
  crew.Close();
}

TEST(CrewTest, AHelperThatSleepsIsWokenByTheNextPhase) {
  Crew crew(0);
  crew.Open(1);
  std::thread helper([&] { crew.Help(1, Stay); });
  for (int phase = 0; phase < 3; ++phase) {
    LetItSleep();
    std::latch both(2);
    crew.For(2, [&](int64_t, int) { both.arrive_and_wait(); });
  }
  crew.Close();
  helper.join();
}

TEST(CrewTest, AHelperLeavesThoughPartsAreLeft) {
  Crew crew(0);
  crew.Open(1);
  std::atomic<bool> leave = false;
  std::latch helping(1), left(1);
  std::thread helper([&] {
    crew.Help(1, [&] { return leave.load(); });
    left.count_down();
  });
  int by_helper = 0;
  std::atomic<int> ran = 0;
  // The lead is in a part until the helper has left.
  crew.For(100, [&](int64_t, int member) {
    ++ran;
    if (member == 1) {
      ++by_helper;
      leave = true;
      helping.count_down();
    } else if (!left.try_wait()) {
      helping.wait();
      left.wait();
    }
  });
  EXPECT_EQ(by_helper, 1);
  EXPECT_EQ(ran, 100);
  crew.Close();
  helper.join();
}

TEST(CrewTest, TheSizeIsThatOfTheMomentOrWhatIsExpected) {
  Crew crew(0);
  EXPECT_EQ(crew.size(), 1);
  crew.Open(3);
  EXPECT_EQ(crew.size(), 4);
  crew.For(2, [](int64_t, int) {});
  EXPECT_EQ(crew.size(), 1);  // Nobody came.
  std::thread helper([&] { crew.Help(1, Stay); });
  while (crew.size() != 2) std::this_thread::yield();
  crew.Close();
  helper.join();
  EXPECT_EQ(crew.size(), 1);
}

TEST(CrewTest, AHelperSaysHowLongItWorked) {
  Crew crew(0);
  crew.Open(1);
  double seconds = 0;
  std::thread helper([&] { seconds = crew.Help(1, Stay); });
  std::latch both(2);
  constexpr std::chrono::milliseconds kPart(20);
  crew.For(2, [&](int64_t, int) {
    both.arrive_and_wait();
    Pass(kPart);
  });
  crew.Close();
  helper.join();
  EXPECT_GE(seconds, std::chrono::duration<double>(kPart).count());
}

TEST(CrewTest, WhatAPartThrowsReachesTheLeadAfterAllHaveReturned) {
  Crew crew(0);
  crew.Open(1);
  std::thread helper([&] { crew.Help(1, Stay); });
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
        crew.Help(member, [&] { return leave.load(); });
        if (round % 64 == 0) std::this_thread::yield();
      }
    });
  }
  std::atomic<int64_t> by_helpers = 0;
  // As long as it takes the threads to start.
  for (int batch = 0; batch < kBatches || by_helpers == 0; ++batch) {
    crew.Open(kHelpers);
    for (int phase = 0; phase < 20; ++phase) {
      const int64_t count = 1 + (batch * 7 + phase * 3) % 40;
      std::vector<int> runs(static_cast<size_t>(count));  // Not atomic: each part is one thread's.
      crew.For(count, [&](int64_t index, int member) {
        ++runs[static_cast<size_t>(index)];
        by_helpers += member > 0;
      });
      for (const int run : runs) ASSERT_EQ(run, 1);
      leave = phase % 5 == 0;
      if (phase % 7 == 0) crew.Ring();
    }
    crew.Close();
  }
  end = true;
  for (std::thread& helper : helpers) helper.join();
}

}  // namespace
}  // namespace attnd
