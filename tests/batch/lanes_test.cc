// Goal: lanes keep apart what is theirs and share the workers. Method: stub executors that say
// which lane they are of, held by latches, so that the order of batches is known.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <latch>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/mutex.h"
#include "core/batch/engine.h"

namespace attnd {
namespace {

using absl::StatusCode;
using ::testing::HasSubstr;

using StepFunction = std::function<absl::Status(int lane, std::span<Job* const>)>;

class LaneExecutor : public Executor {
 public:
  LaneExecutor(int lane, const StepFunction& step) : lane_(lane), step_(step) {}
  absl::Status Step(std::span<Job* const> batch, Crew&) override { return step_(lane_, batch); }

 private:
  const int lane_;
  const StepFunction& step_;
};

// An engine with a lane for each weight, all on `step`.
class LanesEngine {
 public:
  LanesEngine(int workers, const std::vector<double>& weights, StepFunction step,
              QueueLimits queue = {.rows_max = 1 << 20, .jobs_max = 1 << 20})
      : step_(std::move(step)) {
    std::vector<Engine::Lane> lanes;
    for (const double weight : weights) {
      const int lane = static_cast<int>(lanes.size());
      lanes.push_back(
          {.batch = {.sequences_max = 1},
           .queue = queue,
           .weight = weight,
           .executors = [this, lane](int) { return std::make_unique<LaneExecutor>(lane, step_); }});
    }
    engine_ = std::make_unique<Engine>(Engine::Options{.workers = workers}, std::move(lanes));
    EXPECT_TRUE(engine_->status().ok());
  }

  absl::Status Submit(int lane, int64_t steps = 1) {
    auto job = std::make_unique<Job>();
    job->rows = 1;
    job->steps = static_cast<int32_t>(steps);
    job->done = [this](std::unique_ptr<Job>, const absl::Status&) { ++answered_; };
    std::vector<std::unique_ptr<Job>> jobs;
    jobs.push_back(std::move(job));
    return engine_->Submit(lane, jobs);
  }
  Engine& engine() { return *engine_; }
  int answered() const { return answered_; }

 private:
  const StepFunction step_;
  std::atomic<int> answered_ = 0;
  std::unique_ptr<Engine> engine_;
};

// The lanes of the batches in the order in which they ran; the first batch waits to be let go.
struct Order {
  std::latch entered{1}, open{1};
  Mutex mutex;
  std::vector<int> lanes;

  StepFunction AsStep() {
    return [this](int lane, std::span<Job* const>) {
      bool first = false;
      {
        MutexLock lock(mutex);
        first = lanes.empty();
        lanes.push_back(lane);
      }
      if (first) {
        entered.count_down();
        open.wait();
      }
      return absl::OkStatus();
    };
  }
};

TEST(LanesTest, EachLaneRunsOnItsOwnExecutors) {
  std::atomic<int> wrong = 0;
  LanesEngine lanes(2, {1, 1, 1}, [&](int lane, std::span<Job* const> batch) {
    for (const Job* job : batch) wrong += job->steps != lane + 1;
    // Ends the job.
    for (Job* job : batch) job->steps = 1;
    return absl::OkStatus();
  });
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(lanes.Submit(i % 3, i % 3 + 1).ok());
  EXPECT_TRUE(lanes.engine().Drain(Clock::time_point::max()));
  EXPECT_EQ(lanes.answered(), 300);
  EXPECT_EQ(wrong, 0);
}

TEST(LanesTest, AFullLaneRefusesAndTheOthersDoNot) {
  Order order;
  LanesEngine lanes(1, {1, 1}, order.AsStep(), {.rows_max = 2, .jobs_max = 2});
  ASSERT_TRUE(lanes.Submit(0).ok());
  order.entered.wait();
  ASSERT_TRUE(lanes.Submit(0).ok());
  ASSERT_TRUE(lanes.Submit(0).ok());
  EXPECT_EQ(lanes.Submit(0).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(lanes.engine().depth(0).jobs, 2);
  EXPECT_EQ(lanes.engine().depth(1).jobs, 0);
  EXPECT_TRUE(lanes.Submit(1).ok());
  EXPECT_EQ(lanes.engine().depth(1).jobs, 1);
  order.open.count_down();
}

TEST(LanesTest, AFloodInOneLaneDoesNotKeepAnotherWaiting) {
  Order order;
  {
    LanesEngine lanes(1, {1, 1}, order.AsStep());
    ASSERT_TRUE(lanes.Submit(0).ok());
    order.entered.wait();
    for (int i = 0; i < 500; ++i) ASSERT_TRUE(lanes.Submit(0).ok());
    ASSERT_TRUE(lanes.Submit(1).ok());
    order.open.count_down();
  }
  ASSERT_EQ(order.lanes.size(), 502u);
  EXPECT_EQ(order.lanes[1], 1);
}

TEST(LanesTest, BacklogsOfTwoLanesAreServedInTurn) {
  Order order;
  {
    LanesEngine lanes(1, {1, 1}, order.AsStep());
    ASSERT_TRUE(lanes.Submit(0).ok());
    order.entered.wait();
    for (int i = 0; i < 200; ++i) ASSERT_TRUE(lanes.Submit(i % 2).ok());
    order.open.count_down();
  }
  // By time, which is the machine's; but nobody waits until the other is done.
  const auto last = [&](int lane) {
    return std::find(order.lanes.rbegin(), order.lanes.rend(), lane) - order.lanes.rbegin();
  };
  EXPECT_LT(last(0), 150);
  EXPECT_LT(last(1), 150);
}

TEST(LanesTest, ALaneThatCannotHaveItsExecutorFailsTheEngine) {
  std::vector<Engine::Lane> lanes(2);
  const StepFunction step = [](int, std::span<Job* const>) { return absl::OkStatus(); };
  lanes[0].executors = [&](int) { return std::make_unique<LaneExecutor>(0, step); };
  lanes[1].executors = [](int) { return nullptr; };
  const Engine engine({.workers = 2}, std::move(lanes));
  EXPECT_THAT(std::string(engine.status().message()), HasSubstr("cannot make its executor"));
}

}  // namespace
}  // namespace attnd
