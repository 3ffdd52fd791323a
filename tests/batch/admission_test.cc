// Goal: who goes first, and who is refused for the time that it would wait. Method: the queue
// driven by hand, with batches that take what the test says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "core/batch/queue.h"

namespace attnd {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr Clock::time_point kStart{std::chrono::hours(1)};
constexpr BatchLimits kBatch{.rows_max = 100, .sequences_max = 1};
const Outlook kOneWorker{.workers = 1};

class AdmissionTest : public ::testing::Test {
 protected:
  struct Spec {
    char name = ' ';
    int32_t rows = 10;
    Clock::duration time = seconds(1000);  // Until its deadline.
    Priority priority = Priority::kNormal;
    int32_t caller = 0;
  };
  static std::unique_ptr<Job> Make(const Spec& spec, Clock::time_point now) {
    auto job = std::make_unique<Job>();
    job->rows = spec.rows;
    job->deadline = now + spec.time;
    job->priority = spec.priority;
    job->caller = spec.caller;
    job->key = std::string(1, spec.name);
    job->task = EncodeTask{};
    job->done = [](std::unique_ptr<Job>, const absl::Status&) {};
    return job;
  }
  absl::Status Submit(const std::vector<Spec>& specs, const Outlook& outlook = kOneWorker) {
    std::vector<std::unique_ptr<Job>> jobs;
    for (const Spec& spec : specs) jobs.push_back(Make(spec, now_));
    return queue_->Submit(jobs, now_, outlook);
  }
  // The name of what runs next, alone; it takes 1 ms a row.
  std::string Next() {
    Batch batch;
    queue_->Take(now_, 1, batch, finished_);
    if (batch.jobs.empty()) return "";
    std::string name = batch.jobs[0]->key;
    now_ += milliseconds(batch.rows);
    queue_->Complete(absl::OkStatus(), now_, batch, finished_);
    CallDone(finished_);
    return name;
  }
  std::string All() {
    std::string names;
    while (!queue_->empty()) names += Next();
    return names;
  }
  // After it, a row is known to take 1 ms.
  void Learn() {
    ASSERT_TRUE(Submit({{.name = '0'}}).ok());
    Next();
  }
  void Restart(Clock::duration wait_max) {
    queue_ = std::make_unique<Queue>(
        kBatch, QueueLimits{.rows_max = 1 << 20, .jobs_max = 1000, .wait_max = wait_max}, &Decide,
        0);
  }

  Clock::time_point now_ = kStart;
  std::unique_ptr<Queue> queue_ = std::make_unique<Queue>(
      kBatch, QueueLimits{.rows_max = 1 << 20, .jobs_max = 1000}, &Decide, 0);
  std::vector<Finished> finished_;
};

TEST_F(AdmissionTest, WithinAClassWhoHasLeastTimeGoesFirst) {
  ASSERT_TRUE(Submit({{.name = 'a', .time = seconds(30)},
                      {.name = 'b', .time = seconds(10)},
                      {.name = 'c', .time = seconds(20)},
                      {.name = 'd', .time = seconds(10)}})
                  .ok());
  EXPECT_EQ(All(), "bdca");
}

TEST_F(AdmissionTest, PriorityComesBeforeTime) {
  ASSERT_TRUE(Submit({{.name = 'a', .time = seconds(10), .priority = Priority::kLow},
                      {.name = 'b', .time = seconds(20)},
                      {.name = 'c', .time = seconds(30), .priority = Priority::kHigh}})
                  .ok());
  EXPECT_EQ(All(), "cba");
}

TEST_F(AdmissionTest, CallersTakeTurnsWhateverEachHasWaiting) {
  ASSERT_TRUE(Submit({{.name = 'a', .caller = 1},
                      {.name = 'b', .caller = 1},
                      {.name = 'c', .caller = 1},
                      {.name = 'd', .caller = 1}})
                  .ok());
  ASSERT_TRUE(Submit({{.name = 'x', .caller = 2}, {.name = 'y', .caller = 2}}).ok());
  EXPECT_EQ(All(), "axbycd");
}

TEST_F(AdmissionTest, BatchesAreShortWhileSeveralCallersWait) {
  queue_ = std::make_unique<Queue>(BatchLimits{.rows_max = 4096, .sequences_max = 100},
                                   QueueLimits{.rows_max = 1 << 20, .jobs_max = 1000});
  const auto rows_of_next = [&] {
    Batch batch;
    queue_->Take(now_, 1, batch, finished_);
    const int32_t rows = batch.rows;
    queue_->Complete(absl::OkStatus(), now_, batch, finished_);
    CallDone(finished_);
    return rows;
  };
  std::vector<Spec> flood;
  for (char name = 'A'; name < 'A' + 40; ++name) {
    flood.push_back({.name = name, .rows = 100, .caller = 1});
  }
  ASSERT_TRUE(Submit(flood).ok());
  ASSERT_TRUE(Submit({{.name = 'x', .rows = 12, .caller = 2}}).ok());
  EXPECT_EQ(rows_of_next(), 512);
  EXPECT_EQ(rows_of_next(), 3500);  // The one alone.
}

TEST_F(AdmissionTest, ACallersTurnGoesToItsMostUrgentJob) {
  ASSERT_TRUE(Submit({{.name = 'a', .time = seconds(30), .caller = 1},
                      {.name = 'b', .time = seconds(20), .caller = 1},
                      {.name = 'x', .time = seconds(10), .caller = 2}})
                  .ok());
  EXPECT_EQ(All(), "bxa");
}

TEST_F(AdmissionTest, TurnsAreCountedInRows) {
  ASSERT_TRUE(Submit({{.name = 'a', .rows = 30, .caller = 1},
                      {.name = 'b', .rows = 30, .caller = 1},
                      {.name = 'x', .rows = 15, .caller = 2},
                      {.name = 'y', .rows = 14, .caller = 2},
                      {.name = 'z', .rows = 10, .caller = 2}})
                  .ok());
  EXPECT_EQ(All(), "axyzb");
}

TEST_F(AdmissionTest, WhatCannotBeDoneBeforeItsDeadlineIsRefusedAtOnce) {
  Learn();
  ASSERT_TRUE(Submit({{.name = 'a', .rows = 100}, {.name = 'b', .rows = 100}}).ok());
  const absl::Status status = Submit({{.name = 'c', .time = milliseconds(209)}});
  // Nobody knows how to overtake: its deadline is the first, so only its own 10 ms count.
  EXPECT_TRUE(status.ok()) << status;
  ASSERT_TRUE(Submit({{.name = 'd', .time = milliseconds(300), .caller = 1}}).ok());
  const absl::Status late =
      Submit({{.name = 'e', .time = milliseconds(209), .priority = Priority::kLow}});
  EXPECT_EQ(late.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(late.GetPayload(kNotInTime).has_value());
  EXPECT_THAT(std::string(late.message()),
              HasSubstr("it would be done in 230 ms; its deadline is in 209 ms"));
  EXPECT_TRUE(Submit({{.name = 'e', .time = milliseconds(231), .priority = Priority::kLow}}).ok());
}

TEST_F(AdmissionTest, BatchesInProgressAndRivalsCount) {
  Learn();
  ASSERT_TRUE(Submit({{.name = 'w', .priority = Priority::kLow}}).ok());
  const Outlook outlook{.workers = 2, .running = 0.1};
  EXPECT_FALSE(Submit({{.name = 'a', .time = milliseconds(54)}}, outlook).ok());
  EXPECT_TRUE(Submit({{.name = 'a', .time = milliseconds(56)}}, outlook).ok());
  Outlook contested = kOneWorker;
  contested.rivals = {{.weight = 2, .seconds = 1}};
  // A share of a third: the 10 ms of each of two take 60.
  EXPECT_FALSE(Submit({{.name = 'b', .time = milliseconds(59)}}, contested).ok());
  EXPECT_TRUE(Submit({{.name = 'b', .time = milliseconds(61)}}, contested).ok());
}

TEST_F(AdmissionTest, AWaitOverTheLimitIsRefusedWhateverTheDeadline) {
  Restart(milliseconds(150));
  Learn();
  ASSERT_TRUE(Submit({{.name = 'a', .rows = 100}}).ok());
  // Its own time is not waiting.
  ASSERT_TRUE(Submit({{.name = 'b', .rows = 100}}).ok());
  const absl::Status status = Submit({{.name = 'c', .rows = 1}});
  EXPECT_TRUE(status.GetPayload(kWaitTooLong).has_value());
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("what waits before it would take 200 ms; the limit is 150 ms"));
  // What goes before others does not wait for them.
  EXPECT_TRUE(Submit({{.name = 'd', .rows = 1, .priority = Priority::kHigh}}).ok());
  EXPECT_TRUE(Submit({{.name = 'e', .rows = 1, .caller = 7}}).ok());
  std::string names;
  for (int i = 0; i < 3; ++i) names += Next();
  EXPECT_EQ(names, "dea");
  EXPECT_TRUE(Submit({{.name = 'f', .rows = 1}}).ok());
}

TEST_F(AdmissionTest, WhatFindsNothingWaitingIsTaken) {
  Restart(milliseconds(1));
  Learn();
  const Outlook busy{.workers = 1, .running = 10};
  EXPECT_TRUE(Submit({{.name = 'a', .rows = 100, .time = milliseconds(5)}}, busy).ok());
  EXPECT_FALSE(Submit({{.name = 'b', .rows = 100, .time = milliseconds(5)}}, busy).ok());
}

TEST_F(AdmissionTest, NobodyIsOvertakenForLongerThanTheWaitThatIsAllowed) {
  Restart(milliseconds(150));
  ASSERT_TRUE(Submit({{.name = 'a', .time = seconds(10)}}).ok());
  now_ += milliseconds(100);
  ASSERT_TRUE(Submit({{.name = 'b', .time = milliseconds(40)},
                      {.name = 'c', .time = milliseconds(60)},
                      {.name = 'd', .time = seconds(10)}})
                  .ok());
  EXPECT_EQ(All(), "bacd");
}

TEST_F(AdmissionTest, WhatGoesFirstDoesNotWaitForWhatOthersGetMeanwhile) {
  Restart(milliseconds(150));
  Learn();
  ASSERT_TRUE(Submit({{.name = 'a', .rows = 100, .caller = 1}}).ok());
  ASSERT_TRUE(Submit({{.name = 'b', .rows = 100, .caller = 2}}).ok());
  // Two long jobs, of which the first has its turn at once.
  EXPECT_TRUE(
      Submit({{.name = 'x', .rows = 100, .caller = 3}, {.name = 'y', .rows = 100, .caller = 3}})
          .ok());
}

TEST_F(AdmissionTest, NothingIsRefusedForTimeBeforeABatchWasMeasured) {
  Restart(milliseconds(1));
  for (char name = 'a'; name < 'k'; ++name) {
    EXPECT_TRUE(Submit({{.name = name, .rows = 100}}).ok());
  }
}

TEST_F(AdmissionTest, AFailedBatchTeachesNothing) {
  ASSERT_TRUE(Submit({{.name = 'a'}}).ok());
  Batch batch;
  queue_->Take(now_, 1, batch, finished_);
  now_ += seconds(10);
  queue_->Complete(absl::DataLossError("as planned"), now_, batch, finished_);
  CallDone(finished_);
  EXPECT_EQ(queue_->cost().Seconds({.rows = 1}), 0);
}

TEST_F(AdmissionTest, WhatIsComputedForAnotherAnywayIsTaken) {
  Restart(milliseconds(150));
  Learn();
  ASSERT_TRUE(Submit({{.name = 'a', .rows = 100}, {.name = 'b', .rows = 100}}).ok());
  EXPECT_TRUE(Submit({{.name = 'b', .rows = 100}}).ok());
  EXPECT_FALSE(Submit({{.name = 'c', .rows = 100}}).ok());
}

}  // namespace
}  // namespace attnd
