// Goal: the engine's threads: who runs what, on which thread, and that each job is answered exactly
// once, also through errors, cancels and shutdown. Method: real workers over stub executors that
// tests hold and let go by latches, so that every interleaving that matters is forced,
// without sleeping. Deadlines that must have passed are passed by waiting for the clock itself.
// Standard latches and threads only: ThreadSanitizer is blind to a packaged Abseil's.
#include "core/batch/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <latch>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace attnd {
namespace {

using absl::StatusCode;
using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr Clock::time_point kNever = Clock::time_point::max();

using StepFunction = std::function<absl::Status(std::span<Job* const>)>;

class StubExecutor : public Executor {
 public:
  explicit StubExecutor(StepFunction step) : step_(std::move(step)) {}
  absl::Status Step(std::span<Job* const> batch, Crew&) override {
    EXPECT_EQ(std::this_thread::get_id(), made_on_);
    return step_(batch);
  }

 private:
  const StepFunction step_;
  const std::thread::id made_on_ = std::this_thread::get_id();
};

Engine::Lane Each(StepFunction step, Engine::Lane lane = {}) {
  lane.executors = [step](int) { return std::make_unique<StubExecutor>(step); };
  return lane;
}

absl::Status Nothing(std::span<Job* const>) { return absl::OkStatus(); }

struct Answer {
  std::unique_ptr<Job> job;
  absl::Status status;
};

std::vector<std::unique_ptr<Job>> One(std::unique_ptr<Job> job) {
  std::vector<std::unique_ptr<Job>> jobs;
  jobs.push_back(std::move(job));
  return jobs;
}

std::pair<std::unique_ptr<Job>, std::future<Answer>> MakeJob(int32_t rows = 1) {
  auto promise = std::make_unique<std::promise<Answer>>();
  std::future<Answer> answer = promise->get_future();
  auto job = std::make_unique<Job>();
  job->rows = rows;
  // A second call would throw, for a promise is kept once.
  job->done = [promise = std::move(promise)](std::unique_ptr<Job> done, absl::Status status) {
    promise->set_value({std::move(done), std::move(status)});
  };
  return {std::move(job), std::move(answer)};
}

std::future<Answer> SubmitOne(Engine& engine, int32_t rows = 1) {
  auto [job, answer] = MakeJob(rows);
  auto jobs = One(std::move(job));
  EXPECT_TRUE(engine.Submit(0, jobs).ok());
  return std::move(answer);
}

// An executor that reports when a step begins, and holds it until it is let go.
struct Gate {
  std::latch entered{1};
  std::latch open{1};
  StepFunction AsStep() {
    return [this](std::span<Job* const>) {
      if (!entered.try_wait()) entered.count_down();
      open.wait();
      return absl::OkStatus();
    };
  }
};

TEST(EngineTest, AJobIsRunAndAnswered) {
  Engine engine({.workers = 2}, Each(Nothing));
  ASSERT_TRUE(engine.status().ok());
  Answer answer = SubmitOne(engine, 3).get();
  EXPECT_TRUE(answer.status.ok());
  EXPECT_EQ(answer.job->rows, 3);
  EXPECT_EQ(answer.job->timings.batch_rows, 3);
  EXPECT_LE(answer.job->timings.submitted, answer.job->timings.started);
  EXPECT_LE(answer.job->timings.started, answer.job->timings.finished);
}

TEST(EngineTest, WhatGathersWhileABatchRunsIsTheNextBatch) {
  Gate gate;
  Engine engine({.workers = 1}, Each(gate.AsStep()));
  auto first = SubmitOne(engine);
  gate.entered.wait();
  auto second = SubmitOne(engine, 2);
  auto third = SubmitOne(engine, 3);
  EXPECT_EQ(engine.depth(0).jobs, 2);
  EXPECT_EQ(engine.depth(0).rows, 5);
  gate.open.count_down();
  EXPECT_EQ(first.get().job->timings.batch_sequences, 1);
  EXPECT_EQ(second.get().job->timings.batch_sequences, 2);
  EXPECT_EQ(third.get().job->timings.batch_rows, 5);
}

TEST(EngineTest, ABacklogWakesEveryIdleWorkerAndIsSplitBetweenThem) {
  // A step ends only when four have begun, so fewer than four workers would never end.
  std::latch four{4};
  Engine engine({.workers = 4}, Each([&](std::span<Job* const> batch) {
                  EXPECT_EQ(batch.size(), 2u);
                  four.arrive_and_wait();
                  return absl::OkStatus();
                }));
  std::vector<std::unique_ptr<Job>> jobs;
  std::vector<std::future<Answer>> answers;
  for (int i = 0; i < 8; ++i) {
    auto [job, answer] = MakeJob(20);
    jobs.push_back(std::move(job));
    answers.push_back(std::move(answer));
  }
  ASSERT_TRUE(engine.Submit(0, jobs).ok());
  EXPECT_TRUE(jobs.empty());
  for (auto& answer : answers) EXPECT_TRUE(answer.get().status.ok());
}

TEST(EngineTest, AJobOfManyStepsRunsThemAll) {
  std::atomic<int> steps = 0;
  Engine engine({.workers = 2}, Each([&](std::span<Job* const>) {
                  ++steps;
                  return absl::OkStatus();
                }));
  auto [job, answer] = MakeJob();
  job->steps = 5;
  auto jobs = One(std::move(job));
  ASSERT_TRUE(engine.Submit(0, jobs).ok());
  EXPECT_TRUE(answer.get().status.ok());
  EXPECT_EQ(steps, 5);
}

TEST(EngineTest, AFailedStepAnswersItsJobsAndTheWorkerGoesOn) {
  std::vector<std::string> reasons;
  Engine::Options options{.workers = 1};
  options.on_batch = [&](const BatchReport& report) {
    reasons.emplace_back(report.status.message());
  };
  int step = 0;
  Engine engine(std::move(options), Each([&](std::span<Job* const>) -> absl::Status {
                  switch (step++) {
                    case 0:
                      return absl::DataLossError("bad weights");
                    case 1:
                      throw std::runtime_error("thrown");
                    case 2:
                      throw 3;
                    default:
                      return absl::OkStatus();
                  }
                }));
  for (int i = 0; i < 3; ++i) {
    const absl::Status status = SubmitOne(engine).get().status;
    EXPECT_EQ(status.code(), StatusCode::kInternal);
    EXPECT_EQ(status.message(), "the computation failed");
  }
  EXPECT_TRUE(SubmitOne(engine).get().status.ok());
  EXPECT_EQ(reasons, (std::vector<std::string>{"bad weights", "thrown",
                                               "an exception of unknown type", ""}));
}

TEST(EngineTest, ABatchIsReportedBeforeItsJobsAreAnswered) {
  std::atomic<int> rows = 0;
  Engine::Options options{.workers = 1};
  options.on_batch = [&](const BatchReport& report) { rows += report.rows; };
  Engine engine(std::move(options), Each(Nothing));
  SubmitOne(engine, 5).wait();
  EXPECT_EQ(rows, 5);
}

TEST(EngineTest, ReapingAnswersCancelledJobsBeforeItReturns) {
  Gate gate;
  Engine engine({.workers = 1}, Each(gate.AsStep()));
  auto running = SubmitOne(engine);
  gate.entered.wait();
  auto cancelled = std::make_shared<std::atomic<bool>>(false);
  auto [job, answer] = MakeJob();
  job->cancelled = cancelled;
  auto jobs = One(std::move(job));
  ASSERT_TRUE(engine.Submit(0, jobs).ok());
  *cancelled = true;
  engine.ReapCancelled();
  EXPECT_EQ(answer.wait_for(milliseconds(0)), std::future_status::ready);
  EXPECT_EQ(answer.get().status.code(), StatusCode::kCancelled);
  EXPECT_EQ(engine.depth(0).jobs, 0);
  gate.open.count_down();
  EXPECT_TRUE(running.get().status.ok());
}

TEST(EngineTest, WhatIsCancelledOrExpiresWhileItWaitsIsNeverRun) {
  Gate gate;
  std::atomic<int> sequences = 0;
  Engine engine({.workers = 1}, Each([&](std::span<Job* const> batch) {
                  sequences += static_cast<int>(batch.size());
                  return gate.AsStep()(batch);
                }));
  auto running = SubmitOne(engine);
  gate.entered.wait();

  const Clock::time_point deadline = Clock::now() + milliseconds(1);
  auto [expiring, expired] = MakeJob();
  expiring->deadline = deadline;
  auto cancelled = std::make_shared<std::atomic<bool>>(false);
  auto [cancelling, cancelled_answer] = MakeJob();
  cancelling->cancelled = cancelled;
  auto jobs = One(std::move(expiring));
  absl::Status status = engine.Submit(0, jobs);
  if (!status.ok()) {  // The machine was slow enough for the deadline to pass before.
    EXPECT_EQ(status.code(), StatusCode::kDeadlineExceeded);
    std::move(jobs[0]->done)(nullptr, status);
  }
  jobs = One(std::move(cancelling));
  ASSERT_TRUE(engine.Submit(0, jobs).ok());
  *cancelled = true;
  while (Clock::now() < deadline) std::this_thread::yield();
  gate.open.count_down();
  EXPECT_EQ(expired.get().status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(cancelled_answer.get().status.code(), StatusCode::kCancelled);
  EXPECT_TRUE(running.get().status.ok());
  EXPECT_EQ(sequences, 1);
}

TEST(EngineTest, AWaitForCompanyEndsWhenTheBatchIsFull) {
  Engine engine({.workers = 2},
                Each(Nothing, {.batch = {.rows_max = 10, .delay_max = std::chrono::hours(1)}}));
  auto first = SubmitOne(engine, 5);
  auto second = SubmitOne(engine, 5);
  EXPECT_TRUE(first.get().status.ok());
  EXPECT_EQ(second.get().job->timings.batch_sequences, 2);
}

TEST(EngineTest, AWaitForCompanyEndsWithTheDelay) {
  Engine engine({.workers = 2}, Each(Nothing, {.batch = {.delay_max = milliseconds(1)}}));
  Answer answer = SubmitOne(engine).get();
  EXPECT_GE(answer.job->timings.started - answer.job->timings.submitted, milliseconds(1));
}

TEST(EngineTest, DrainingEndsAWaitForCompany) {
  Engine engine({.workers = 2}, Each(Nothing, {.batch = {.delay_max = std::chrono::hours(1)}}));
  auto answer = SubmitOne(engine);
  EXPECT_TRUE(engine.Drain(kNever));
  EXPECT_EQ(answer.wait_for(milliseconds(0)), std::future_status::ready);
  EXPECT_TRUE(answer.get().status.ok());
}

TEST(EngineTest, AfterDrainNothingIsAccepted) {
  Engine engine({.workers = 1}, Each(Nothing));
  EXPECT_TRUE(engine.Drain(kNever));
  auto [job, answer] = MakeJob();
  auto jobs = One(std::move(job));
  EXPECT_EQ(engine.Submit(0, jobs).code(), StatusCode::kUnavailable);
  ASSERT_EQ(jobs.size(), 1u);
  EXPECT_NE(jobs[0], nullptr);
  EXPECT_EQ(answer.wait_for(milliseconds(0)), std::future_status::timeout);
}

TEST(EngineTest, ADrainThatRunsOutOfTimeAnswersWhatWaits) {
  Gate gate;
  Engine engine({.workers = 1}, Each(gate.AsStep()));
  auto running = SubmitOne(engine);
  gate.entered.wait();
  auto waiting = SubmitOne(engine);
  EXPECT_FALSE(engine.Drain(Clock::now()));
  EXPECT_EQ(waiting.wait_for(milliseconds(0)), std::future_status::ready);
  EXPECT_EQ(waiting.get().status.code(), StatusCode::kUnavailable);
  EXPECT_EQ(running.wait_for(milliseconds(0)), std::future_status::timeout);
  gate.open.count_down();
  EXPECT_TRUE(running.get().status.ok());
}

TEST(EngineTest, DestroyingTheEngineFinishesWhatWasAccepted) {
  std::vector<std::future<Answer>> answers;
  {
    Engine engine({.workers = 2}, Each(Nothing, {.batch = {.sequences_max = 1}}));
    for (int i = 0; i < 100; ++i) answers.push_back(SubmitOne(engine));
  }
  for (auto& answer : answers) {
    EXPECT_EQ(answer.wait_for(milliseconds(0)), std::future_status::ready);
    EXPECT_TRUE(answer.get().status.ok());
  }
}

TEST(EngineTest, WhatIsCalledWithAnAnswerMaySubmitAgain) {
  std::future<Answer> second;
  std::latch submitted{1};
  Engine engine({.workers = 1}, Each(Nothing));
  auto job = std::make_unique<Job>();
  job->rows = 1;
  job->done = [&](std::unique_ptr<Job>, const absl::Status&) {
    second = SubmitOne(engine);
    submitted.count_down();
  };
  auto jobs = One(std::move(job));
  ASSERT_TRUE(engine.Submit(0, jobs).ok());
  submitted.wait();
  EXPECT_TRUE(second.get().status.ok());
}

TEST(EngineTest, AWorkerWithoutAnExecutorFailsTheEngineAndSaysWhy) {
  const auto thrower = [](int worker) -> std::unique_ptr<Executor> {
    if (worker == 1) throw std::runtime_error("no memory for the workspace");
    return std::make_unique<StubExecutor>(Nothing);
  };
  Engine engine({.workers = 3}, Engine::Lane{.executors = thrower});
  EXPECT_EQ(engine.status().message(),
            "worker 1 cannot make its executor: no memory for the workspace");
  auto [job, answer] = MakeJob();
  auto jobs = One(std::move(job));
  EXPECT_EQ(engine.Submit(0, jobs), engine.status());
  EXPECT_EQ(jobs.size(), 1u);

  Engine none({.workers = 1}, Engine::Lane{.executors = [](int) { return nullptr; }});
  EXPECT_THAT(std::string(none.status().message()), HasSubstr("worker 0"));
}

// Whatever the threads do to each other, the sums agree: accepted jobs are answered once, refused
// ones never.
TEST(EngineTest, EachAcceptedJobIsAnsweredOnceUnderContention) {
  constexpr int kThreads = 4, kRounds = 2'000;
  std::atomic<int64_t> accepted = 0, answered = 0, ok = 0, computed = 0;
  std::atomic<int64_t> steps = 0;
  {
    Engine engine({.workers = 3}, Each(
                                      [&](std::span<Job* const> batch) {
                                        for (const Job* job : batch) computed += job->steps == 1;
                                        if (++steps % 97 == 0) {
                                          return absl::InternalError("now and then");
                                        }
                                        return absl::OkStatus();
                                      },
                                      {.batch = {.rows_max = 64, .sequences_max = 8},
                                       .queue = {.rows_max = 256, .jobs_max = 32}}));
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int round = 0; round < kRounds; ++round) {
          auto cancelled = std::make_shared<std::atomic<bool>>(false);
          std::vector<std::unique_ptr<Job>> jobs;
          const int count = 1 + round % 3;
          for (int i = 0; i < count; ++i) {
            auto job = std::make_unique<Job>();
            job->rows = 1 + (round * 7 + i + t) % 64;
            job->steps = 1 + round % 4;
            job->cancelled = cancelled;
            if (round % 5 == 0) job->deadline = Clock::now() + std::chrono::microseconds(50);
            job->done = [&](std::unique_ptr<Job>, const absl::Status& status) {
              ++answered;
              ok += status.ok();
            };
            jobs.push_back(std::move(job));
          }
          if (engine.Submit(0, jobs).ok()) accepted += count;
          if (round % 3 == 0) {
            *cancelled = true;
            engine.ReapCancelled();
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(answered, accepted);
  EXPECT_GT(accepted, 0);
  EXPECT_GT(ok, 0);
  EXPECT_GE(computed, ok);
}

}  // namespace
}  // namespace attnd
