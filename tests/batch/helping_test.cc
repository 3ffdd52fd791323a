// Goal: workers help where there is work for them, and are back at once when something else
// arrives. Method: a batch whose lead is held at known places, with latches that open only if the
// right number of workers is where it should be; so a test that fails mostly hangs, and its time
// limit ends it. Waits are there to let a helper fall asleep: a test passes without them too.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <latch>
#include <memory>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "core/batch/engine.h"

namespace attnd {
namespace {

using SplitStep = std::function<void(Crew& crew)>;

class SplittingExecutor : public Executor {
 public:
  SplittingExecutor(SplitStep step, bool splits) : step_(std::move(step)), splits_(splits) {}
  absl::Status Step(std::span<Job* const>, Crew& crew) override {
    step_(crew);
    return absl::OkStatus();
  }
  bool splits() const override { return splits_; }

 private:
  const SplitStep step_;
  const bool splits_;
};

Engine::Lane LaneOf(SplitStep step, bool splits = true) {
  Engine::Lane lane;
  lane.batch.sequences_max = 1;
  lane.executors = [step = std::move(step), splits](int) {
    return std::make_unique<SplittingExecutor>(step, splits);
  };
  return lane;
}

// Lane 0 runs `split`, which helpers may join; lane 1 runs `other`.
std::unique_ptr<Engine> MakeEngine(int workers, SplitStep split, Engine::Lane other) {
  std::vector<Engine::Lane> lanes;
  lanes.push_back(LaneOf(std::move(split)));
  lanes.push_back(std::move(other));
  return std::make_unique<Engine>(Engine::Options{.workers = workers, .split_rows = 1},
                                  std::move(lanes));
}

// `called` is called with the answer, by the worker.
std::future<absl::Status> Submit(Engine& engine, int lane, std::function<void()> called = nullptr) {
  auto promise = std::make_unique<std::promise<absl::Status>>();
  std::future<absl::Status> answer = promise->get_future();
  auto job = std::make_unique<Job>();
  job->rows = 16;
  job->done = [promise = std::move(promise), called = std::move(called)](std::unique_ptr<Job>,
                                                                         absl::Status status) {
    promise->set_value(std::move(status));
    if (called) called();
  };
  std::vector<std::unique_ptr<Job>> jobs;
  jobs.push_back(std::move(job));
  EXPECT_TRUE(engine.Submit(lane, jobs).ok());
  return answer;
}

// A phase that ends only when so many members are in it together.
void Together(Crew& crew, int members) {
  std::latch all(members);
  crew.For(members, [&](int64_t, int) { all.arrive_and_wait(); });
}

// Much longer than a helper spins.
void LetHelpersSleep() {
  const auto until = Clock::now() + std::chrono::milliseconds(20);
  while (Clock::now() < until) std::this_thread::yield();
}

void Nothing(Crew&) {}

TEST(HelpingTest, IdleWorkersHelpALoneBatch) {
  auto engine = MakeEngine(
      4, [](Crew& crew) { Together(crew, 4); }, LaneOf(Nothing));
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(Submit(*engine, 0).get().ok());
}

TEST(HelpingTest, WhatArrivesIsRunThoughTheHelperSleeps) {
  for (const int lane : {0, 1}) {
    std::latch helped(1), open(1);
    std::atomic<int> batches = 0;
    const auto split = [&](Crew& crew) {
      if (batches++ > 0) return;
      Together(crew, 2);
      LetHelpersSleep();
      helped.count_down();
      open.wait();        // A head, say, which is not split.
      Together(crew, 2);  // Who was called back is here again.
    };
    auto engine = MakeEngine(2, split, LaneOf(Nothing));
    auto first = Submit(*engine, 0);
    helped.wait();
    EXPECT_TRUE(Submit(*engine, lane).get().ok());
    open.count_down();
    EXPECT_TRUE(first.get().ok());
  }
}

TEST(HelpingTest, WhatArrivesIsRunThoughOnlyTheHelperIsFree) {
  // Of three workers one writes an answer, which takes as long as it takes; it counts for idle.
  std::latch helped(1), open(1), writing(1);
  const auto split = [&](Crew& crew) {
    writing.wait();
    Together(crew, 2);
    helped.count_down();
    open.wait();
  };
  auto engine = MakeEngine(3, split, LaneOf(Nothing));
  auto answered = Submit(*engine, 1, [&] {
    writing.count_down();
    open.wait();
  });
  writing.wait();
  auto first = Submit(*engine, 0);
  helped.wait();
  LetHelpersSleep();
  EXPECT_TRUE(Submit(*engine, 1).get().ok());
  open.count_down();
  EXPECT_TRUE(first.get().ok());
  EXPECT_TRUE(answered.get().ok());
}

TEST(HelpingTest, AsManyComeBackAsThereIsWork) {
  std::latch helped(1), open(1), both(2);
  const auto split = [&](Crew& crew) {
    Together(crew, 4);
    helped.count_down();
    open.wait();
    Together(crew, 2);  // One of three has stayed, or all are back.
  };
  auto engine = MakeEngine(4, split, LaneOf([&](Crew&) {
                             both.arrive_and_wait();
                             open.wait();
                           }));
  auto first = Submit(*engine, 0);
  helped.wait();
  LetHelpersSleep();
  auto second = Submit(*engine, 1), third = Submit(*engine, 1);
  both.wait();
  open.count_down();
  for (auto* answer : {&first, &second, &third}) EXPECT_TRUE(answer->get().ok());
}

TEST(HelpingTest, AWorkerThatBecomesFreeHelpsABatchThatHadBegunWithoutIt) {
  std::latch begun(1), busy(1);
  const auto split = [&](Crew& crew) {
    begun.count_down();
    Together(crew, 2);
  };
  auto engine = MakeEngine(2, split, LaneOf([&](Crew&) {
                             busy.count_down();
                             begun.wait();
                           }));
  auto other = Submit(*engine, 1);
  busy.wait();
  auto first = Submit(*engine, 0);
  EXPECT_TRUE(first.get().ok());
  EXPECT_TRUE(other.get().ok());
}

TEST(HelpingTest, WhatWaitsForCompanyIsRunInTimeThoughTheHelperSleeps) {
  std::latch helped(1), open(1);
  const auto split = [&](Crew& crew) {
    Together(crew, 2);
    helped.count_down();
    open.wait();
  };
  Engine::Lane other = LaneOf(Nothing);
  other.batch.sequences_max = 8;
  other.batch.delay_max = std::chrono::milliseconds(5);
  auto engine = MakeEngine(2, split, std::move(other));
  auto first = Submit(*engine, 0);
  helped.wait();
  LetHelpersSleep();
  EXPECT_TRUE(Submit(*engine, 1).get().ok());
  open.count_down();
  EXPECT_TRUE(first.get().ok());
}

TEST(HelpingTest, ABatchOfAnExecutorThatDoesNotSplitIsLeftAlone) {
  Engine::Lane lane = LaneOf(
      [](Crew& crew) {
        LetHelpersSleep();
        EXPECT_EQ(crew.size(), 1);
        const std::thread::id lead = std::this_thread::get_id();
        crew.For(8, [&](int64_t, int) { EXPECT_EQ(std::this_thread::get_id(), lead); });
      },
      false);
  Engine engine({.workers = 3, .split_rows = 1}, std::move(lane));
  EXPECT_TRUE(Submit(engine, 0).get().ok());
}

TEST(HelpingTest, NobodyHelpsWhereItIsTurnedOff) {
  Engine engine({.workers = 3, .split_rows = 0}, LaneOf([](Crew& crew) {
                  LetHelpersSleep();
                  EXPECT_EQ(crew.size(), 1);
                }));
  EXPECT_TRUE(Submit(engine, 0).get().ok());
}

TEST(HelpingTest, ADrainThatRunsOutOfTimeLeavesHelpersToTheBatch) {
  std::latch helped(1), open(1);
  const auto split = [&](Crew& crew) {
    Together(crew, 2);
    helped.count_down();
    open.wait();
    Together(crew, 2);
  };
  auto engine = MakeEngine(2, split, LaneOf(Nothing));
  auto first = Submit(*engine, 0);
  helped.wait();
  LetHelpersSleep();
  EXPECT_FALSE(engine->Drain(Clock::now()));
  open.count_down();
  EXPECT_TRUE(first.get().ok());
}

TEST(HelpingTest, EachJobIsAnsweredHoweverWorkersComeAndGo) {
  // Phases of many sizes, in two lanes, while four threads submit.
  const auto step = [](Crew& crew) {
    for (int phase = 0; phase < 6; ++phase) {
      const int64_t count = 1 + phase * 5;
      std::vector<int> runs(static_cast<size_t>(count));
      crew.For(count, [&](int64_t index, int) { ++runs[static_cast<size_t>(index)]; });
      for (const int run : runs) EXPECT_EQ(run, 1);
    }
  };
  auto engine = MakeEngine(4, step, LaneOf(step));
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&, caller] {
      for (int i = 0; i < 250; ++i) {
        std::vector<std::future<absl::Status>> answers;
        for (int n = 0; n <= i % 4; ++n) answers.push_back(Submit(*engine, (caller + n) % 2));
        for (auto& answer : answers) EXPECT_TRUE(answer.get().ok());
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_TRUE(engine->Drain(Clock::time_point::max()));
}

}  // namespace
}  // namespace attnd
