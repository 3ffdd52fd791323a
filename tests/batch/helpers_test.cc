// Goal: helpers go where there is room, and none is counted twice. Method: a few workers, by hand.
#include "core/batch/helpers.h"

#include <gtest/gtest.h>

namespace attnd {
namespace {

TEST(HelpersTest, NobodyJoinsWhereNothingWasBegun) {
  Helpers helpers(3);
  EXPECT_FALSE(helpers.Join());
  helpers.Begin(1, 0, 0);
  EXPECT_FALSE(helpers.Join());
  EXPECT_EQ(helpers.room(), 0);
}

TEST(HelpersTest, TheBatchWithTheMostRoomIsJoinedFirst) {
  Helpers helpers(6);
  helpers.Begin(0, 7, 1);
  helpers.Begin(4, 8, 2);
  EXPECT_EQ(helpers.room(), 3);
  auto place = helpers.Join();
  ASSERT_TRUE(place);
  EXPECT_EQ(place->lead, 4);
  EXPECT_EQ(place->lane, 8);
  // Both have room for one: either will do.
  EXPECT_TRUE(helpers.Join());
  EXPECT_TRUE(helpers.Join());
  EXPECT_FALSE(helpers.Join());
  EXPECT_EQ(helpers.count(0), 1);
  EXPECT_EQ(helpers.count(4), 2);
  EXPECT_EQ(helpers.count(), 3);
}

TEST(HelpersTest, WhoHasLeftIsWantedAgain) {
  Helpers helpers(2);
  helpers.Begin(0, 0, 1);
  ASSERT_TRUE(helpers.Join());
  helpers.Leave(0);
  EXPECT_EQ(helpers.count(), 0);
  EXPECT_TRUE(helpers.Join());
}

TEST(HelpersTest, WhoIsLateToLeaveTakesAPlaceOfTheNextBatch) {
  Helpers helpers(4);
  helpers.Begin(0, 0, 2);
  ASSERT_TRUE(helpers.Join());
  ASSERT_TRUE(helpers.Join());
  helpers.End(0);
  EXPECT_EQ(helpers.room(), 0);
  EXPECT_FALSE(helpers.Join());
  helpers.Begin(0, 1, 1);
  EXPECT_EQ(helpers.room(), 0);  // Two are there, for one place.
  helpers.Leave(0);
  EXPECT_FALSE(helpers.Join());
  helpers.Leave(0);
  const auto place = helpers.Join();
  ASSERT_TRUE(place);
  EXPECT_EQ(place->lane, 1);
}

}  // namespace
}  // namespace attnd
