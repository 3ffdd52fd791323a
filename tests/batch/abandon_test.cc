// Goal: a batch that nobody waits for any more ends early, and each of its jobs as it deserves; one
// that anybody waits for does not. Method: the queue driven by hand, then an engine whose step goes
// on until it is told that nobody waits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/batch/engine.h"
#include "core/batch/queue.h"

namespace attnd {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr Clock::time_point kStart{std::chrono::hours(1)};
constexpr Clock::time_point kNever = Clock::time_point::max();

class AbandonTest : public ::testing::Test {
 protected:
  // Returns the job's flag.
  std::shared_ptr<std::atomic<bool>> Submit(const std::string& key,
                                            Clock::time_point deadline = kNever) {
    auto cancelled = std::make_shared<std::atomic<bool>>(false);
    std::vector<std::unique_ptr<Job>> jobs;
    jobs.push_back(std::make_unique<Job>());
    jobs[0]->rows = 10;
    jobs[0]->key = key;
    jobs[0]->deadline = deadline;
    jobs[0]->cancelled = cancelled;
    jobs[0]->task = EncodeTask{};
    jobs[0]->done = [this, name = names_++](std::unique_ptr<Job>, const absl::Status& status) {
      log_.push_back(std::to_string(name) + " " + absl::StatusCodeToString(status.code()));
    };
    EXPECT_TRUE(queue_.Submit(jobs, now_).ok());
    return cancelled;
  }
  size_t Take() {
    queue_.Take(now_, 1, batch_, finished_);
    return batch_.jobs.size();
  }
  std::vector<std::string> End(const absl::Status& step) {
    queue_.Complete(step, now_, batch_, finished_);
    CallDone(finished_);
    return std::exchange(log_, {});
  }

  Clock::time_point now_ = kStart;
  Queue queue_{{.rows_max = 100, .sequences_max = 4}, {}};
  Batch batch_;
  std::vector<Finished> finished_;
  int names_ = 0;
  std::vector<std::string> log_;
};

TEST_F(AbandonTest, ABatchIsAbandonedWhenNobodyWaitsForAnyOfIt) {
  const auto first = Submit("");
  Submit("", now_ + milliseconds(5));
  EXPECT_EQ(Take(), 2u);
  EXPECT_FALSE(queue_.IsAbandoned(batch_, now_));
  *first = true;
  EXPECT_FALSE(queue_.IsAbandoned(batch_, now_));
  now_ += milliseconds(5);
  EXPECT_TRUE(queue_.IsAbandoned(batch_, now_));
  EXPECT_THAT(End(absl::CancelledError()),
              UnorderedElementsAre("0 CANCELLED", "1 DEADLINE_EXCEEDED"));
  EXPECT_TRUE(queue_.empty());
  EXPECT_EQ(queue_.cost().Seconds({.rows = 1}), 0);
}

TEST_F(AbandonTest, WhoSharesAResultKeepsItsBatchGoing) {
  const auto first = Submit("a");
  EXPECT_EQ(Take(), 1u);
  const auto second = Submit("a");
  *first = true;
  EXPECT_FALSE(queue_.IsAbandoned(batch_, now_));
  *second = true;
  EXPECT_TRUE(queue_.IsAbandoned(batch_, now_));
}

TEST_F(AbandonTest, WhoComesToShareAnAbandonedJobIsComputed) {
  const auto first = Submit("a");
  EXPECT_EQ(Take(), 1u);
  *first = true;
  EXPECT_TRUE(queue_.IsAbandoned(batch_, now_));
  Submit("a");  // Before the worker is back.
  Submit("a");
  EXPECT_EQ(queue_.depth().rows, 0);
  EXPECT_THAT(End(absl::CancelledError()), ElementsAre("0 CANCELLED"));
  EXPECT_EQ(queue_.depth().rows, 10);
  EXPECT_EQ(queue_.depth().jobs, 2);
  EXPECT_EQ(Take(), 1u);
  EXPECT_THAT(End(absl::OkStatus()), ElementsAre("2 OK", "1 OK"));
  EXPECT_EQ(queue_.depth().jobs, 0);
}

TEST_F(AbandonTest, AnAbandonedKeyIsForgotten) {
  *Submit("a") = true;
  *Submit("b") = false;
  EXPECT_EQ(Take(), 1u);  // Cancelled before it ran: "a" is dropped here.
  EXPECT_THAT(End(absl::OkStatus()), ElementsAre("0 CANCELLED", "1 OK"));
  const auto running = Submit("a");
  EXPECT_EQ(Take(), 1u);
  *running = true;
  EXPECT_THAT(End(absl::CancelledError()), ElementsAre("2 CANCELLED"));
  Submit("a");
  EXPECT_EQ(Take(), 1u);
  EXPECT_THAT(End(absl::OkStatus()), ElementsAre("3 OK"));
  EXPECT_THAT(log_, IsEmpty());
}

// Goes on until nobody waits.
class Endless : public Executor {
 public:
  explicit Endless(std::latch& entered) : entered_(entered) {}
  absl::Status Step(std::span<Job* const>, Crew& crew) override {
    entered_.count_down();
    while (!crew.abandoned()) std::this_thread::yield();
    return absl::CancelledError("nobody waits");
  }

 private:
  std::latch& entered_;
};

TEST(AbandonedEngineTest, AStepEndsWhenItsOnlyJobIsCancelled) {
  std::latch entered(1);
  absl::Status reported;
  Engine::Options options;
  options.on_batch = [&](const BatchReport& report) { reported = report.status; };
  Engine::Lane lane;
  lane.executors = [&](int) { return std::make_unique<Endless>(entered); };
  Engine engine(std::move(options), std::move(lane));
  auto cancelled = std::make_shared<std::atomic<bool>>(false);
  std::promise<absl::Status> promise;
  std::vector<std::unique_ptr<Job>> jobs;
  jobs.push_back(std::make_unique<Job>());
  jobs[0]->rows = 1;
  jobs[0]->cancelled = cancelled;
  jobs[0]->done = [&](std::unique_ptr<Job>, const absl::Status& status) {
    promise.set_value(status);
  };
  ASSERT_TRUE(engine.Submit(0, jobs).ok());
  entered.wait();
  *cancelled = true;
  EXPECT_TRUE(absl::IsCancelled(promise.get_future().get()));
  EXPECT_TRUE(absl::IsCancelled(reported));
}

}  // namespace
}  // namespace attnd
