// Goal: load figures can be trusted: the schedule is the seed's, percentiles are exact, the counts
// add up. Method: pure functions against figures worked out by hand or by numpy; one short run
// against a fake server.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "client/convert_encode.h"
#include "client/load/generator.h"
#include "client/load/plan.h"
#include "client/load/report.h"
#include "tests/client/fake_server.h"

namespace attnd::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(MixLengths, AreNumpysForTheSameSeed) {
  const std::vector<int32_t> lengths = MixLengths(256, {});
  EXPECT_EQ(std::accumulate(lengths.begin(), lengths.end(), 0), 8563);
  EXPECT_EQ(*std::max_element(lengths.begin(), lengths.end()), 183);
  const std::vector<int32_t> first(lengths.begin(), lengths.begin() + 12);
  EXPECT_THAT(first, ElementsAre(110, 16, 25, 35, 12, 24, 24, 5, 60, 41, 14, 21));
}

TEST(MixLengths, AreClipped) {
  for (const int32_t length : MixLengths(1000, {.sigma = 3, .length_min = 10, .length_max = 30})) {
    EXPECT_GE(length, 10);
    EXPECT_LE(length, 30);
  }
}

TEST(RandomIds, HaveTheirEndsAndStayInRange) {
  std::mt19937 random(7);
  const std::vector<int32_t> ids =
      RandomIds(500, {.first = 1, .last = 2, .id_min = 10, .id_end = 13}, random);
  ASSERT_EQ(ids.size(), 500U);
  EXPECT_EQ(ids.front(), 1);
  EXPECT_EQ(ids.back(), 2);
  for (size_t i = 1; i + 1 < ids.size(); ++i) EXPECT_TRUE(ids[i] >= 10 && ids[i] < 13);
}

TEST(ArrivalSchedule, FixedGapsDoNotDrift) {
  ArrivalSchedule schedule(Arrival::kFixed, 10, 1);
  EXPECT_EQ(schedule.NextSeconds(), 0);
  for (int i = 1; i < 1000; ++i) EXPECT_DOUBLE_EQ(schedule.NextSeconds(), i / 10.0);
}

TEST(ArrivalSchedule, PoissonGapsAreTheSeedsAndHaveMeanAndDeviationOfOneOverTheRate) {
  ArrivalSchedule schedule(Arrival::kPoisson, 50, 7);
  ArrivalSchedule same(Arrival::kPoisson, 50, 7);
  ArrivalSchedule other(Arrival::kPoisson, 50, 8);
  constexpr int kCount = 20'000;
  double last = 0;
  double square_sum = 0;
  int differ = 0;
  for (int i = 0; i < kCount; ++i) {
    const double at = schedule.NextSeconds();
    EXPECT_EQ(at, same.NextSeconds());
    differ += at != other.NextSeconds() ? 1 : 0;
    EXPECT_GE(at, last);
    square_sum += (at - last) * (at - last);
    last = at;
  }
  EXPECT_GT(differ, kCount - 10);
  EXPECT_NEAR(last / kCount, 0.02, 0.0005);
  EXPECT_NEAR(square_sum / kCount, 2 * 0.02 * 0.02, 0.00004);  // E[x^2] = 2 / rate^2.
}

TEST(Percentile, IsTheNearestRank) {
  std::vector<double> values(100);
  std::iota(values.begin(), values.end(), 1);
  EXPECT_EQ(Percentile(values, 0.50), 50);
  EXPECT_EQ(Percentile(values, 0.95), 95);
  EXPECT_EQ(Percentile(values, 0.99), 99);
  EXPECT_EQ(Percentile(values, 0.991), 100);
  EXPECT_EQ(Percentile(values, 1), 100);
  EXPECT_EQ(Percentile(std::vector<double>{7}, 0.5), 7);
  EXPECT_EQ(Percentile(std::vector<double>{3, 9}, 0.5), 3);
  EXPECT_EQ(Percentile(std::vector<double>{3, 9}, 0.51), 9);
  EXPECT_EQ(Percentile({}, 0.5), 0);
}

TEST(Summarize, CountsFromTheIntendedTimeAndLeavesTheWarmUpOut) {
  const LoadSample samples[] = {
      {.intended = 0.5, .sent = 0.5, .done = 9.0, .tokens = 1000},
      {.intended = 1.0, .sent = 1.5, .done = 2.0, .tokens = 30, .queue_seconds = 0.25},
      {.intended = 2.0, .sent = 2.0, .done = 3.0, .tokens = 10, .queue_seconds = 0.5},
      {.intended = 2.5, .sent = 2.5, .done = 2.6, .code = 8},
      {.intended = 2.6, .sent = 2.6, .done = 12.6, .code = 4},
  };
  const LoadReport report = Summarize(samples, 1.0);
  EXPECT_EQ(report.sent, 4);
  EXPECT_EQ(report.answered, 2);
  EXPECT_EQ(report.failed, 2);
  EXPECT_DOUBLE_EQ(report.seconds, 2.0);
  EXPECT_DOUBLE_EQ(report.requests_per_second, 1.0);
  EXPECT_DOUBLE_EQ(report.tokens_per_second, 20.0);
  EXPECT_DOUBLE_EQ(report.latency.max, 1.0);
  EXPECT_DOUBLE_EQ(report.late.max, 0.5);
  EXPECT_NEAR(report.failures.p50, 0.1, 1e-9);
  EXPECT_NEAR(report.failures.max, 10.0, 1e-9);
  EXPECT_DOUBLE_EQ(report.queue.p50, 0.25);
  EXPECT_EQ(report.requests_by_code.at("OK"), 2);
  EXPECT_EQ(report.requests_by_code.at("RESOURCE_EXHAUSTED"), 1);
  EXPECT_EQ(report.requests_by_code.at("DEADLINE_EXCEEDED"), 1);
  EXPECT_THAT(FormatReport(report), HasSubstr("sent 4 = answered 2 + failed 2"));
}

TEST(Summarize, NothingIsNoDivisionByZero) {
  const LoadReport report = Summarize({}, 1.0);
  EXPECT_EQ(report.sent, 0);
  EXPECT_EQ(report.requests_per_second, 0);
  EXPECT_EQ(report.latency.p99, 0);
}

class GenerateLoadTest : public testing::TestWithParam<double> {};

TEST_P(GenerateLoadTest, EveryRequestThatTheServerSawIsASample) {
  FakeServer server;
  const std::vector<v1::EncodeRequest> requests = {ToProto({"one"}, EncodeOptions{}),
                                                   ToProto({"refuse"}, EncodeOptions{})};
  const auto samples = GenerateLoad({.target = server.target(),
                                     .connections = 2,
                                     .rate = GetParam(),
                                     .arrival = Arrival::kFixed,
                                     .in_flight_max = 8,
                                     .warmup_seconds = 0,
                                     .measured_seconds = 0.2},
                                    requests);
  ASSERT_TRUE(samples.ok()) << samples.status();
  EXPECT_EQ(static_cast<int>(samples->size()), server.encoder.requests);
  const LoadReport report = Summarize(*samples, 0);
  EXPECT_EQ(report.sent, static_cast<int64_t>(samples->size()));
  EXPECT_EQ(report.answered + report.failed, report.sent);
  EXPECT_EQ(report.failed, report.sent / 2);
  EXPECT_EQ(report.tokens, 2 * report.answered);
  for (const LoadSample& sample : *samples) EXPECT_GE(sample.done, sample.intended);
  if (GetParam() > 0) {
    EXPECT_EQ(report.sent, 40);  // 200 a second for 0.2 s, at fixed times.
  }
}

INSTANTIATE_TEST_SUITE_P(ClosedAndOpenLoop, GenerateLoadTest, testing::Values(0.0, 200.0));

TEST(GenerateLoad, WithoutAServerFailsAndSaysWhere) {
  const auto samples = GenerateLoad({.target = "unix:/nowhere/attnd.sock",
                                     .connections = 1,
                                     .connect_time_max = std::chrono::milliseconds(10)},
                                    {ToProto({"one"}, EncodeOptions{})});
  EXPECT_EQ(samples.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(samples.status().message()), HasSubstr("/nowhere/attnd.sock"));
}

}  // namespace
}  // namespace attnd::client
