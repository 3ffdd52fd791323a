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
  const Outlook outlook{.workers = 2, .running = 1};
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
  Helpers helpers(3);
  EXPECT_EQ(running.OutlookAt(kStart, helpers).running, 0);
  running.Begin(0, kStart, 1);
  running.Begin(2, kStart, 6);
  const Outlook outlook = running.OutlookAt(kStart + seconds(2), helpers);
  EXPECT_EQ(outlook.workers, 3);
  EXPECT_DOUBLE_EQ(outlook.running, 4);  // The first is late, which nobody knows better.
  helpers.Begin(2, 0, 1);
  ASSERT_TRUE(helpers.Join());
  EXPECT_DOUBLE_EQ(running.OutlookAt(kStart + seconds(2), helpers).running, 2);
  EXPECT_EQ(running.End(2), 6);
  EXPECT_EQ(running.End(0), 1);
  EXPECT_EQ(running.OutlookAt(kStart + seconds(2), helpers).running, 0);
}

}  // namespace
}  // namespace attnd
