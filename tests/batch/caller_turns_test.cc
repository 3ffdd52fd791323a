// Goal: callers that wait for the same lane are served alike, whatever each asks for. Method: the
// turns driven by hand.
#include "core/batch/caller_turns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <vector>

namespace attnd {
namespace {

using ::testing::ElementsAre;

// The order of jobs of these callers, each of cost 1.
std::vector<size_t> OrderOf(CallerTurns& turns, const std::vector<int32_t>& callers) {
  std::vector<CallerTurns::Waiting> jobs;
  for (const int32_t caller : callers) jobs.push_back({.caller = caller});
  std::vector<size_t> order;
  turns.BeginOrder();
  turns.Order(jobs, 0, order);
  return order;
}

TEST(CallerTurnsTest, CallersAlternateAndKeepTheirOwnOrder) {
  CallerTurns turns;
  const std::vector<int32_t> callers{1, 1, 1, 2, 2};
  for (const int32_t caller : callers) turns.Come(caller);
  EXPECT_TRUE(turns.several());
  EXPECT_THAT(OrderOf(turns, callers), ElementsAre(0, 3, 1, 4, 2));
}

TEST(CallerTurnsTest, OneCallerKeepsItsOrder) {
  CallerTurns turns;
  for (int i = 0; i < 3; ++i) turns.Come(7);
  EXPECT_FALSE(turns.several());
  EXPECT_THAT(OrderOf(turns, {7, 7, 7}), ElementsAre(0, 1, 2));
}

TEST(CallerTurnsTest, ADearJobIsPaidForWithTurns) {
  CallerTurns turns;
  for (const int32_t caller : {1, 1, 2, 2, 2}) turns.Come(caller);
  const std::vector<CallerTurns::Waiting> jobs{{.caller = 1, .cost = 2},
                                               {.caller = 1, .cost = 2},
                                               {.caller = 2},
                                               {.caller = 2},
                                               {.caller = 2}};
  std::vector<size_t> order;
  turns.BeginOrder();
  turns.Order(jobs, 10, order);
  EXPECT_THAT(order, ElementsAre(10, 12, 13, 11, 14));
}

TEST(CallerTurnsTest, ClassesFollowEachOtherAndTurnsGoOn) {
  CallerTurns turns;
  for (const int32_t caller : {1, 1, 2}) turns.Come(caller);
  std::vector<size_t> order;
  turns.BeginOrder();
  turns.Order(std::vector<CallerTurns::Waiting>{{.caller = 1}}, 0, order);
  turns.Order(std::vector<CallerTurns::Waiting>{{.caller = 1}, {.caller = 2}}, 1, order);
  EXPECT_THAT(order, ElementsAre(0, 2, 1));  // Caller 1 has had its turn.
}

TEST(CallerTurnsTest, ServiceIsSharedWhateverABacklogHolds) {
  CallerTurns turns;
  std::map<int32_t, int> served;
  // Caller 1 has ten jobs waiting all the time, caller 2 one.
  const std::vector<int32_t> callers{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2};
  for (const int32_t caller : callers) turns.Come(caller);
  for (int i = 0; i < 100; ++i) {
    const int32_t next = callers[OrderOf(turns, callers).front()];
    turns.Go(next);
    turns.Charge(next, 1);
    turns.Come(next);
    ++served[next];
  }
  EXPECT_EQ(served[1], 50);
  EXPECT_EQ(served[2], 50);
}

TEST(CallerTurnsTest, WhatIsNotUsedIsNotSavedUp) {
  CallerTurns turns;
  turns.Come(2);
  turns.Go(2);
  for (int i = 0; i < 100; ++i) {
    turns.Come(1);
    turns.Go(1);
    turns.Charge(1, 1);
  }
  for (const int32_t caller : {1, 1, 1, 2, 2, 2}) turns.Come(caller);
  // Caller 2 is next, since caller 1 has just been served, and has no hundred turns to catch up.
  EXPECT_THAT(OrderOf(turns, {1, 1, 1, 2, 2, 2}), ElementsAre(3, 0, 4, 1, 5, 2));
}

}  // namespace
}  // namespace attnd
