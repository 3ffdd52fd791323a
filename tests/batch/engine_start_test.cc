// Goal: an engine that is there is warm, so that no request pays for code that has not run yet.
// Method: stub executors whose WarmUp waits for those of all other workers.
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "core/batch/engine.h"

namespace attnd {
namespace {

constexpr int kWorkers = 3;

class WarmingExecutor : public Executor {
 public:
  WarmingExecutor(std::latch& all, std::atomic<int>& warm) : all_(all), warm_(warm) {}
  absl::Status Step(std::span<Job* const>, Crew&) override { return absl::OkStatus(); }
  void WarmUp() override {
    all_.arrive_and_wait();
    ++warm_;
  }

 private:
  std::latch& all_;
  std::atomic<int>& warm_;
};

TEST(EngineStartTest, AllWorkersHaveWarmedUpTogetherForEachLane) {
  std::latch first(kWorkers), second(kWorkers);
  std::atomic<int> warm = 0;
  std::vector<Engine::Lane> lanes(2);
  lanes[0].executors = [&](int) { return std::make_unique<WarmingExecutor>(first, warm); };
  lanes[1].executors = [&](int) { return std::make_unique<WarmingExecutor>(second, warm); };
  const Engine engine({.workers = kWorkers}, std::move(lanes));
  EXPECT_TRUE(engine.status().ok());
  EXPECT_EQ(warm, kWorkers * 2);
}

class ThrowingExecutor : public Executor {
 public:
  absl::Status Step(std::span<Job* const>, Crew&) override { return absl::OkStatus(); }
  void WarmUp() override { throw std::runtime_error("cold"); }
};

TEST(EngineStartTest, OneThatCannotWarmUpServesAllTheSame) {
  Engine::Lane lane;
  lane.executors = [](int) { return std::make_unique<ThrowingExecutor>(); };
  Engine engine({.workers = kWorkers}, std::move(lane));
  ASSERT_TRUE(engine.status().ok());
  std::latch answered(1);
  std::vector<std::unique_ptr<Job>> jobs;
  jobs.push_back(std::make_unique<Job>());
  jobs[0]->rows = 1;
  jobs[0]->done = [&](std::unique_ptr<Job>, const absl::Status& status) {
    EXPECT_TRUE(status.ok()) << status;
    answered.count_down();
  };
  EXPECT_TRUE(engine.Submit(0, jobs).ok());
  answered.wait();
}

}  // namespace
}  // namespace attnd
