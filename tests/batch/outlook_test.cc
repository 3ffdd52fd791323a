// Goal: when work will be done, from what runs and what other lanes have. Method: by hand.
#include "core/batch/outlook.h"

#include <gtest/gtest.h>

#include <chrono>

namespace attnd {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Clock::time_point kStart{std::chrono::hours(1)};

TEST(OutlookTest, WorkersShareTheWork) {
  EXPECT_EQ(Outlook{}.Until(2), seconds(2));
  EXPECT_EQ(Outlook{.workers = 4}.Until(2), milliseconds(500));
  EXPECT_EQ(Outlook{.workers = 4}.Until(0), seconds(0));
}

TEST(OutlookTest, WhatRunsComesFirst) {
  const Outlook outlook{.workers = 2, .busy = true, .running = 1};
  EXPECT_EQ(outlook.Until(2), milliseconds(1500));
}

TEST(OutlookTest, ARivalTakesItsShareUntilItsWorkIsDone) {
  Outlook outlook;
  outlook.rivals = {{.weight = 1, .seconds = 10}};
  EXPECT_EQ(outlook.Until(2), seconds(4));
  outlook.rivals = {{.weight = 3, .seconds = 10}};
  EXPECT_EQ(outlook.Until(2), seconds(8));
  outlook.rivals = {{.weight = 3, .seconds = 1}};
  EXPECT_EQ(outlook.Until(2), seconds(3));
  outlook.rivals = {{.weight = 3, .seconds = 1}, {.weight = 0.5, .seconds = 10}};
  EXPECT_EQ(outlook.Until(2), seconds(4));
}

TEST(OutlookTest, NoNumberIsTooLarge) { EXPECT_GT(Outlook{}.Until(1e300), std::chrono::hours(1)); }

TEST(OutlookTest, TellsWhatRunningBatchesStillNeed) {
  Running running(3);
  EXPECT_FALSE(running.OutlookAt(kStart).busy);
  running.Begin(0, kStart, 1);
  running.Begin(2, kStart, 3);
  const Outlook outlook = running.OutlookAt(kStart + seconds(2));
  EXPECT_TRUE(outlook.busy);
  EXPECT_EQ(outlook.workers, 3);
  EXPECT_DOUBLE_EQ(outlook.running, 1);  // The first is late, which nobody knows better.
  EXPECT_EQ(running.End(2), 3);
  EXPECT_TRUE(running.OutlookAt(kStart).busy);
  EXPECT_EQ(running.End(0), 1);
  EXPECT_FALSE(running.OutlookAt(kStart).busy);
}

}  // namespace
}  // namespace attnd
