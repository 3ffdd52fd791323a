// Goal: what becomes of each job in the queue, and the exact bounds. Method: drive the state
// machine by hand at chosen times; no clock, no threads.
#include "core/batch/queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace attnd {
namespace {

using absl::StatusCode;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr Clock::time_point kStart{std::chrono::hours(1)};
constexpr BatchLimits kBatch{.rows_max = 100, .sequences_max = 4, .delay_max = milliseconds(0)};
constexpr QueueLimits kQueue{.rows_max = 200, .jobs_max = 5, .bytes_max = 1000};

struct Spec {
  int32_t rows = 10;
  int32_t steps = 1;
  uint64_t bytes = 1;
  Clock::time_point deadline = Clock::time_point::max();
  std::shared_ptr<std::atomic<bool>> cancelled = nullptr;
};

class QueueTest : public ::testing::Test {
 protected:
  std::vector<std::unique_ptr<Job>> Make(const std::vector<Spec>& specs) {
    std::vector<std::unique_ptr<Job>> jobs;
    for (const Spec& spec : specs) {
      auto job = std::make_unique<Job>();
      job->rows = spec.rows;
      job->steps = spec.steps;
      job->bytes = spec.bytes;
      job->deadline = spec.deadline;
      job->cancelled = spec.cancelled;
      job->done = [this, name = names_++](std::unique_ptr<Job>, const absl::Status& status) {
        log_.push_back(std::to_string(name) + " " + absl::StatusCodeToString(status.code()));
      };
      jobs.push_back(std::move(job));
    }
    return jobs;
  }
  absl::Status Submit(const std::vector<Spec>& specs) {
    auto jobs = Make(specs);
    absl::Status status = queue_.Submit(jobs, now_);
    EXPECT_EQ(jobs.size(), status.ok() ? 0 : specs.size());
    return status;
  }
  // The rows of what was taken.
  std::vector<int32_t> Take(int workers_idle = 1) {
    wake_ = queue_.Take(now_, workers_idle, batch_, finished_);
    std::vector<int32_t> rows;
    for (const auto& job : batch_.jobs) rows.push_back(job->rows);
    return rows;
  }
  void Complete(const absl::Status& status = absl::OkStatus()) {
    queue_.Complete(status, now_, batch_, finished_);
  }
  // "NAME CODE" of all that has ended since the last call; jobs are named in the order of Make.
  std::vector<std::string> Log() {
    CallDone(finished_);
    return std::exchange(log_, {});
  }

  Clock::time_point now_ = kStart;
  Clock::time_point wake_{};
  Queue queue_{kBatch, kQueue};
  Batch batch_;
  std::vector<Finished> finished_;
  int names_ = 0;
  std::vector<std::string> log_;
};

TEST_F(QueueTest, AJobRunsOnceAndIsDone) {
  ASSERT_TRUE(Submit({{.rows = 7, .bytes = 3}}).ok());
  EXPECT_EQ(queue_.depth().rows, 7);
  EXPECT_EQ(queue_.depth().jobs, 1);
  EXPECT_EQ(queue_.depth().bytes, 3);
  EXPECT_THAT(Take(), ElementsAre(7));
  EXPECT_EQ(queue_.depth().rows, 0);
  EXPECT_EQ(queue_.depth().jobs, 0);
  EXPECT_EQ(queue_.depth().bytes, 0);
  EXPECT_THAT(Log(), IsEmpty());
  Complete();
  EXPECT_THAT(Log(), ElementsAre("0 OK"));
  EXPECT_THAT(Take(), IsEmpty());
  EXPECT_EQ(wake_, Clock::time_point::max());
}

TEST_F(QueueTest, TimingsTellWhenAndInWhichBatchAJobRan) {
  std::unique_ptr<Job> kept;
  auto jobs = Make({{.rows = 10, .steps = 2}, {.rows = 20}});
  jobs[0]->done = [&](std::unique_ptr<Job> job, const absl::Status&) { kept = std::move(job); };
  ASSERT_TRUE(queue_.Submit(jobs, now_).ok());
  now_ += milliseconds(1);
  Take();
  EXPECT_EQ(batch_.jobs[0]->timings.batch_rows, 30);
  EXPECT_EQ(batch_.jobs[0]->timings.batch_sequences, 2);
  now_ += milliseconds(1);
  Complete();
  Take();
  now_ += milliseconds(1);
  Complete();
  CallDone(finished_);
  ASSERT_NE(kept, nullptr);
  EXPECT_EQ(kept->timings.submitted, kStart);
  EXPECT_EQ(kept->timings.started, kStart + milliseconds(1));
  EXPECT_EQ(kept->timings.finished, kStart + milliseconds(3));
  EXPECT_EQ(kept->timings.batch_rows, 10);
  EXPECT_EQ(kept->timings.batch_sequences, 1);
}

TEST_F(QueueTest, EachBoundIsMetExactlyAndNamedWhenPassed) {
  EXPECT_TRUE(Submit({{.rows = 100}, {.rows = 100}}).ok());
  absl::Status status = Submit({{.rows = 1}});
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(),
            "the queue holds 200 of at most 200 rows (queue rows_max); 1 more do not fit");
  Take();
  Complete();
  EXPECT_TRUE(Submit({{.rows = 100}}).ok());
}

TEST_F(QueueTest, TheNumberOfJobsIsBounded) {
  EXPECT_TRUE(Submit({{}, {}, {}, {}, {}}).ok());
  const absl::Status status = Submit({{}});
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("5 of at most 5 jobs (queue jobs_max)"));
}

TEST_F(QueueTest, TheBytesAreBoundedAndCannotOverflow) {
  EXPECT_TRUE(Submit({{.bytes = 600}, {.bytes = 400}}).ok());
  EXPECT_THAT(std::string(Submit({{.bytes = 1}}).message()), HasSubstr("queue bytes_max"));
  Take();
  const uint64_t huge = std::numeric_limits<uint64_t>::max();
  EXPECT_EQ(Submit({{.bytes = 1}, {.bytes = huge}}).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(Submit({{.bytes = huge / 2}, {.bytes = huge / 2}}).code(),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(queue_.depth().bytes, 0);
}

TEST_F(QueueTest, JobsSubmittedTogetherAreTakenOrRefusedTogether) {
  EXPECT_TRUE(Submit({{}, {}, {}}).ok());
  EXPECT_EQ(Submit({{}, {}, {}}).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(queue_.depth().jobs, 3);
  EXPECT_TRUE(Submit({{}, {}}).ok());
  EXPECT_THAT(Log(), IsEmpty());
}

TEST_F(QueueTest, AJobLargerThanABatchIsRefused) {
  const absl::Status status = Submit({{.rows = 101}});
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "an input has 101 rows; a batch holds at most 100 (batch rows_max)");
}

TEST_F(QueueTest, WhatIsAlreadyExpiredOrCancelledIsRefused) {
  EXPECT_EQ(Submit({{}, {.deadline = now_}}).code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Submit({{.cancelled = std::make_shared<std::atomic<bool>>(true)}}).code(),
            StatusCode::kCancelled);
  EXPECT_TRUE(queue_.empty());
}

TEST_F(QueueTest, AnExpiredJobIsDroppedWithoutRunning) {
  ASSERT_TRUE(Submit({{.rows = 1, .deadline = now_ + milliseconds(1)}, {.rows = 2}}).ok());
  now_ += milliseconds(1);
  EXPECT_THAT(Take(), ElementsAre(2));
  EXPECT_THAT(Log(), ElementsAre("0 DEADLINE_EXCEEDED"));
}

TEST_F(QueueTest, ACancelledJobIsDroppedWithoutRunning) {
  auto cancelled = std::make_shared<std::atomic<bool>>(false);
  ASSERT_TRUE(Submit({{.rows = 1, .cancelled = cancelled}, {.rows = 2}}).ok());
  *cancelled = true;
  EXPECT_THAT(Take(), ElementsAre(2));
  EXPECT_THAT(Log(), ElementsAre("0 CANCELLED"));
}

TEST_F(QueueTest, ReapingEndsCancelledJobsAndLeavesTheOthersInOrder) {
  auto cancelled = std::make_shared<std::atomic<bool>>(false);
  ASSERT_TRUE(Submit({{.rows = 1, .cancelled = cancelled},
                      {.rows = 2},
                      {.rows = 3, .cancelled = cancelled},
                      {.rows = 4}})
                  .ok());
  *cancelled = true;
  queue_.ReapCancelled(finished_);
  EXPECT_THAT(Log(), ElementsAre("0 CANCELLED", "2 CANCELLED"));
  EXPECT_EQ(queue_.depth().rows, 6);
  EXPECT_THAT(Take(), ElementsAre(2, 4));
}

TEST_F(QueueTest, AJobOfThreeStepsRunsThreeTimes) {
  ASSERT_TRUE(Submit({{.rows = 5, .steps = 3}}).ok());
  for (int step = 0; step < 3; ++step) {
    EXPECT_THAT(Log(), IsEmpty());
    EXPECT_THAT(Take(), ElementsAre(5));
    Complete();
  }
  EXPECT_THAT(Log(), ElementsAre("0 OK"));
  EXPECT_TRUE(queue_.empty());
}

TEST_F(QueueTest, AStepMayEndItsJobEarlyAndChangeItsRows) {
  ASSERT_TRUE(Submit({{.rows = 50, .steps = 9}}).ok());
  Take();
  batch_.jobs[0]->rows = 1;
  Complete();
  EXPECT_EQ(queue_.depth().rows, 1);
  EXPECT_THAT(Take(), ElementsAre(1));
  batch_.jobs[0]->steps = 1;
  Complete();
  EXPECT_THAT(Log(), ElementsAre("0 OK"));
}

TEST_F(QueueTest, JobsInProgressGoBeforeNewOnesAndTakeTurns) {
  ASSERT_TRUE(Submit({{.rows = 60, .steps = 2}, {.rows = 61, .steps = 2}}).ok());
  EXPECT_THAT(Take(), ElementsAre(60));
  ASSERT_TRUE(Submit({{.rows = 1}}).ok());
  Complete();
  EXPECT_THAT(Take(), ElementsAre(60));
  Complete();
  EXPECT_THAT(Log(), ElementsAre("0 OK"));
  EXPECT_THAT(Take(), ElementsAre(61, 1));
}

TEST_F(QueueTest, AJobInProgressIsStillCancelledOrExpiredBeforeItsNextStep) {
  auto cancelled = std::make_shared<std::atomic<bool>>(false);
  ASSERT_TRUE(Submit({{.steps = 3, .cancelled = cancelled},
                      {.steps = 3, .deadline = now_ + milliseconds(1)},
                      {.rows = 3, .steps = 3}})
                  .ok());
  Take();
  Complete();
  *cancelled = true;
  now_ += milliseconds(1);
  EXPECT_THAT(Take(), ElementsAre(3));
  EXPECT_THAT(Log(), UnorderedElementsAre("0 CANCELLED", "1 DEADLINE_EXCEEDED"));
}

TEST_F(QueueTest, AFailedStepEndsEveryJobOfItsBatchWithoutTheReason) {
  std::vector<Spec> specs(2);
  specs[1].steps = 5;
  ASSERT_TRUE(Submit(specs).ok());
  Take();
  Complete(absl::DataLossError("secret"));
  for (const Finished& one : finished_) EXPECT_EQ(one.status.message(), "the computation failed");
  EXPECT_THAT(Log(), ElementsAre("0 INTERNAL", "1 INTERNAL"));
  EXPECT_TRUE(queue_.empty());
}

TEST_F(QueueTest, RunningJobsLeaveRoomInTheQueue) {
  ASSERT_TRUE(Submit({{.rows = 100}, {.rows = 100}}).ok());
  EXPECT_THAT(Take(), ElementsAre(100));
  EXPECT_TRUE(Submit({{.rows = 100}}).ok());
}

TEST_F(QueueTest, AJobInProgressComesBackEvenToAFullQueue) {
  ASSERT_TRUE(Submit({{.rows = 100, .steps = 2}}).ok());
  Take();
  ASSERT_TRUE(Submit({{.rows = 100}, {.rows = 100}}).ok());
  Complete();
  EXPECT_EQ(queue_.depth().rows, 300);
  EXPECT_EQ(Submit({{.rows = 1}}).code(), StatusCode::kResourceExhausted);
}

TEST_F(QueueTest, AClosedQueueRefusesButFinishes) {
  ASSERT_TRUE(Submit({{.steps = 2}}).ok());
  queue_.Close();
  EXPECT_EQ(Submit({{}}).code(), StatusCode::kUnavailable);
  Take();
  Complete();
  Take();
  Complete();
  EXPECT_THAT(Log(), ElementsAre("0 OK"));
}

TEST_F(QueueTest, AClosedQueueWaitsForNoCompany) {
  Queue queue({.rows_max = 100, .sequences_max = 4, .delay_max = milliseconds(5)}, kQueue);
  auto jobs = Make({{.rows = 5}});
  ASSERT_TRUE(queue.Submit(jobs, now_).ok());
  EXPECT_EQ(queue.Take(now_, 1, batch_, finished_), now_ + milliseconds(5));
  EXPECT_THAT(batch_.jobs, IsEmpty());
  queue.Close();
  queue.Take(now_, 1, batch_, finished_);
  EXPECT_EQ(batch_.jobs.size(), 1u);
}

TEST_F(QueueTest, AbandoningEndsWhatWaitsAndThenWhatHasStepsLeft) {
  ASSERT_TRUE(Submit({{.rows = 50, .steps = 2}, {.rows = 50, .steps = 1}, {.rows = 1}}).ok());
  Take();
  queue_.Abandon(finished_);
  EXPECT_THAT(Log(), ElementsAre("2 UNAVAILABLE"));
  EXPECT_EQ(queue_.depth().jobs, 0);
  EXPECT_EQ(Submit({{}}).code(), StatusCode::kUnavailable);
  Complete();
  EXPECT_THAT(Log(), ElementsAre("0 UNAVAILABLE", "1 OK"));
  EXPECT_TRUE(queue_.empty());
}

}  // namespace
}  // namespace attnd
