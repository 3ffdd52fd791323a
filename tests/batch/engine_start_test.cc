// Goal: an engine that is there is warm, so that no request pays for code that has not run yet.
// Method: stub executors whose WarmUp waits for those of all other workers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/batch/engine.h"

namespace attnd {
namespace {

using ::testing::HasSubstr;

constexpr int kWorkers = 3;

class WarmingExecutor : public Executor {
 public:
  WarmingExecutor(std::latch& all, std::atomic<int>& warm) : all_(all), warm_(warm) {}
  absl::Status Step(std::span<Job* const>, Crew&) override { return absl::OkStatus(); }
  absl::Status WarmUp() override {
    all_.arrive_and_wait();
    ++warm_;
    return absl::OkStatus();
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

class ColdExecutor : public Executor {
 public:
  explicit ColdExecutor(bool throws) : throws_(throws) {}
  absl::Status Step(std::span<Job* const>, Crew&) override { return absl::OkStatus(); }
  absl::Status WarmUp() override {
    if (throws_) throw std::runtime_error("cold");
    return absl::InternalError("cold");
  }

 private:
  const bool throws_;
};

TEST(EngineStartTest, OneThatCannotWarmUpFailsTheEngineAndSaysWhy) {
  for (const bool throws : {false, true}) {
    Engine::Lane lane;
    lane.executors = [throws](int) { return std::make_unique<ColdExecutor>(throws); };
    Engine engine({.workers = kWorkers}, std::move(lane));
    EXPECT_EQ(engine.status().code(), absl::StatusCode::kInternal);
    EXPECT_THAT(std::string(engine.status().message()), HasSubstr("cannot warm up: cold"));
    std::vector<std::unique_ptr<Job>> jobs;
    EXPECT_EQ(engine.Submit(0, jobs), engine.status());
  }
}

}  // namespace
}  // namespace attnd
