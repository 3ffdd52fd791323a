// Goal: the golden program cannot pass what is wrong. Method: give the comparison one wrong thing
// at a time.
#include "tests/golden/compare.h"

#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace attnd::golden {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr Tolerance kTolerance{.absolute = 0.5, .relative = 0.25};

bool Agrees(const std::vector<double>& actual, const std::vector<double>& expected) {
  const std::vector<float> floats(actual.begin(), actual.end());
  const Tensor tensor{.shape = {static_cast<int64_t>(expected.size())}, .values = expected};
  return !Mismatch(floats, tensor, kTolerance).has_value();
}

TEST(MismatchTest, ADifferenceUpToTheToleranceAgreesAndTheNextDoesNot) {
  EXPECT_TRUE(Agrees({5.5}, {4}));  // 0.5 + 0.25 * 4 = 1.5.
  EXPECT_TRUE(Agrees({2.5}, {4}));
  EXPECT_FALSE(Agrees({5.5001}, {4}));
  EXPECT_FALSE(Agrees({2.4999}, {4}));
}

TEST(MismatchTest, TheRelativePartIsOfTheExpectedValueNotOfTheActual) {
  EXPECT_FALSE(Agrees({2}, {1}));
  EXPECT_TRUE(Agrees({1}, {2}));
}

TEST(MismatchTest, OneWrongValueAmongManyIsFoundAndNamed) {
  std::vector<float> actual(100, 1.f);
  const Tensor expected{.shape = {100}, .values = std::vector<double>(100, 1.0)};
  EXPECT_FALSE(Mismatch(actual, expected, kTolerance).has_value());
  actual[42] = -7;
  const auto mismatch = Mismatch(actual, expected, kTolerance);
  ASSERT_TRUE(mismatch.has_value());
  EXPECT_THAT(*mismatch, testing::HasSubstr("1 of 100 values differ, worst at 42: -7"));
}

TEST(MismatchTest, ANaNAgreesWithNaNAlone) {
  EXPECT_FALSE(Agrees({kNaN}, {0}));
  EXPECT_FALSE(Agrees({0}, {kNaN}));
  EXPECT_FALSE(Agrees({kNaN}, {kInfinity}));
  EXPECT_TRUE(Agrees({kNaN}, {kNaN}));
}

TEST(MismatchTest, AnInfinityAgreesWithItselfAlone) {
  EXPECT_TRUE(Agrees({kInfinity}, {kInfinity}));
  EXPECT_FALSE(Agrees({kInfinity}, {-kInfinity}));
  EXPECT_FALSE(Agrees({kInfinity}, {1}));
  EXPECT_FALSE(Agrees({1}, {kInfinity}));
}

TEST(MismatchTest, AnotherNumberOfValuesIsAMismatch) {
  EXPECT_FALSE(Agrees({1}, {1, 1}));
  EXPECT_FALSE(Agrees({1, 1}, {1}));
  EXPECT_FALSE(Agrees({}, {1}));
}

TEST(CaseResultTest, ACaseThatComparedNothingHasNotPassed) { EXPECT_FALSE(CaseResult().passed()); }

TEST(CaseResultTest, AnotherShapeOfTheSameSizeFailsButLeadingOnesDoNot) {
  const std::vector<float> values(6, 1.f);
  const Tensor expected{.shape = {1, 2, 3}, .values = std::vector<double>(6, 1.0)};
  CaseResult same;
  same.CheckClose("x", {values, {2, 3}}, expected, kTolerance);
  EXPECT_TRUE(same.passed());
  CaseResult other;
  other.CheckClose("x", {values, {3, 2}}, expected, kTolerance);
  EXPECT_FALSE(other.passed());
  EXPECT_THAT(other.Summary(), testing::HasSubstr("shape [3, 2] instead of [1, 2, 3]"));
}

TEST(CaseResultTest, OneFailureAmongPassesFailsTheCase) {
  CaseResult result;
  result.CheckEqual("ids", std::vector<int>{1, 2, 3}, std::vector<int>{1, 2, 3});
  EXPECT_TRUE(result.passed());
  result.CheckEqual("ids", std::vector<int>{1, 2, 3}, std::vector<int>{1, 2, 4});
  result.CheckEqual("ids", std::vector<int>{1, 2, 3}, std::vector<int>{1, 2, 3});
  EXPECT_FALSE(result.passed());
  EXPECT_EQ(result.Summary(), "ids differs, first at 2 (3 instead of 3)");
}

TEST(CaseResultTest, AnErrorFailsTheCase) {
  CaseResult result;
  result.CheckOk("run", absl::OkStatus());
  EXPECT_TRUE(result.passed());
  result.CheckOk("run", absl::InternalError("broken"));
  EXPECT_FALSE(result.passed());
}

}  // namespace
}  // namespace attnd::golden
