// Goal: jobs of one key are computed once while they are in flight, and none of them pays for
// another's end. Method: the queue driven by hand, then 5,000 seeds of a random life in which every
// job's answer is compared with what that job alone deserves.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/batch/queue.h"
#include "tests/batch/random.h"

namespace attnd {
namespace {

using absl::StatusCode;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

constexpr Clock::time_point kStart{std::chrono::hours(1)};
constexpr Clock::time_point kNever = Clock::time_point::max();
constexpr BatchLimits kBatch{.rows_max = 100, .sequences_max = 4};
constexpr QueueLimits kQueue{.rows_max = 200, .jobs_max = 5, .bytes_max = 1000};

// What a key's computation gives.
float ResultOf(const std::string& key) { return static_cast<float>(key.back()); }

void Compute(const Batch& batch) {
  for (const auto& job : batch.jobs) {
    if (!job->key.empty()) std::get<EncodeTask>(job->task).pooled_out = {ResultOf(job->key)};
  }
}

class SharingTest : public ::testing::Test {
 protected:
  struct Spec {
    std::string key;
    Clock::time_point deadline = kNever;
    std::shared_ptr<std::atomic<bool>> cancelled = nullptr;
    uint64_t bytes = 10;
    Priority priority = Priority::kNormal;
  };
  absl::Status Submit(const std::vector<Spec>& specs) {
    std::vector<std::unique_ptr<Job>> jobs;
    for (const Spec& spec : specs) {
      auto job = std::make_unique<Job>();
      job->rows = 10;
      job->bytes = spec.bytes;
      job->key = spec.key;
      job->deadline = spec.deadline;
      job->cancelled = spec.cancelled;
      job->priority = spec.priority;
      job->task = EncodeTask{};
      job->done = [this, name = names_++](std::unique_ptr<Job> done, const absl::Status& status) {
        std::string line = std::to_string(name) + " " + absl::StatusCodeToString(status.code());
        if (status.ok()) {
          const auto& pooled = std::get<EncodeTask>(done->task).pooled_out;
          EXPECT_EQ(pooled, std::vector<float>{ResultOf(done->key)});
          if (done->timings.shared) line += " shared";
          EXPECT_GE(done->timings.started, done->timings.submitted);
        }
        log_.push_back(line);
      };
      jobs.push_back(std::move(job));
    }
    return queue_->Submit(jobs, now_);
  }
  size_t Take() {
    queue_->Take(now_, 1, batch_, finished_);
    return batch_.jobs.size();
  }
  void Complete(const absl::Status& status = absl::OkStatus()) {
    Compute(batch_);
    queue_->Complete(status, now_, batch_, finished_);
  }
  std::vector<std::string> Log() {
    CallDone(finished_);
    return std::exchange(log_, {});
  }

  Clock::time_point now_ = kStart;
  std::unique_ptr<Queue> queue_ = std::make_unique<Queue>(kBatch, kQueue);
  Batch batch_;
  std::vector<Finished> finished_;
  std::vector<std::string> log_;
  int names_ = 0;
};

TEST_F(SharingTest, EqualJobsAreComputedOnce) {
  ASSERT_TRUE(Submit({{"a"}, {"a"}, {"b"}}).ok());
  EXPECT_EQ(queue_->depth().rows, 20);
  EXPECT_EQ(queue_->depth().jobs, 3);
  EXPECT_EQ(queue_->depth().bytes, 30);
  EXPECT_EQ(Take(), 2u);
  Complete();
  EXPECT_THAT(Log(), ElementsAre("1 OK shared", "0 OK", "2 OK"));
  EXPECT_EQ(queue_->depth().jobs, 0);
  EXPECT_EQ(queue_->depth().bytes, 0);
}

TEST_F(SharingTest, OneThatComesWhileItsLikeRunsIsAnsweredWithIt) {
  ASSERT_TRUE(Submit({{"a"}}).ok());
  EXPECT_EQ(Take(), 1u);
  now_ += milliseconds(5);
  ASSERT_TRUE(Submit({{"a"}}).ok());
  EXPECT_TRUE(queue_->empty());
  EXPECT_EQ(queue_->depth().jobs, 1);
  Complete();
  EXPECT_THAT(Log(), ElementsAre("1 OK shared", "0 OK"));
  // From then on it is computed anew.
  ASSERT_TRUE(Submit({{"a"}}).ok());
  EXPECT_EQ(Take(), 1u);
  Complete();
  EXPECT_THAT(Log(), ElementsAre("2 OK"));
}

TEST_F(SharingTest, JobsWithoutAKeyAreComputedEachByItself) {
  ASSERT_TRUE(Submit({{"a"}, {"a"}}).ok());
  EXPECT_EQ(Take(), 1u);
  Complete();
  Log();
  std::vector<std::unique_ptr<Job>> jobs;
  for (int i = 0; i < 2; ++i) {
    jobs.push_back(std::make_unique<Job>());
    jobs.back()->rows = 1;
    jobs.back()->done = [](std::unique_ptr<Job>, const absl::Status&) {};
  }
  ASSERT_TRUE(queue_->Submit(jobs, now_).ok());
  EXPECT_EQ(Take(), 2u);
}

TEST_F(SharingTest, TheBoundsCountJobsAndBytesOfAllButRowsOnce) {
  ASSERT_TRUE(Submit({{"a"}, {"a"}, {"a"}, {"a"}}).ok());
  EXPECT_EQ(queue_->depth().rows, 10);
  EXPECT_EQ(Submit({{"a"}, {"a"}}).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(Submit({{.key = "a", .bytes = 961}}).code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(Submit({{"a"}}).ok());
}

TEST_F(SharingTest, WhenTheFirstIsCancelledTheNextTakesItsPlace) {
  auto cancelled = std::make_shared<std::atomic<bool>>(false);
  ASSERT_TRUE(Submit({{.key = "a", .cancelled = cancelled}, {"b"}, {"a"}, {"a"}}).ok());
  *cancelled = true;
  queue_->ReapCancelled(finished_);
  EXPECT_THAT(Log(), ElementsAre("0 CANCELLED"));
  EXPECT_EQ(queue_->depth().rows, 20);
  EXPECT_EQ(queue_->depth().jobs, 3);
  EXPECT_EQ(Take(), 2u);
  EXPECT_EQ(batch_.jobs[0]->key, "a");
  Complete();
  EXPECT_THAT(Log(), ElementsAre("3 OK shared", "2 OK", "1 OK"));
}

TEST_F(SharingTest, WhenTheFirstExpiresTheNextTakesItsPlace) {
  ASSERT_TRUE(Submit({{.key = "a", .deadline = now_ + milliseconds(1)}, {"a"}}).ok());
  now_ += milliseconds(1);
  EXPECT_EQ(Take(), 1u);
  EXPECT_THAT(Log(), ElementsAre("0 DEADLINE_EXCEEDED"));
  Complete();
  EXPECT_THAT(Log(), ElementsAre("1 OK"));
}

TEST_F(SharingTest, OneThatDiesLeavesTheOthersAlone) {
  auto cancelled = std::make_shared<std::atomic<bool>>(false);
  ASSERT_TRUE(Submit({{"a"}, {.key = "a", .cancelled = cancelled}, {"a"}}).ok());
  EXPECT_EQ(Take(), 1u);
  ASSERT_TRUE(Submit({{.key = "a", .deadline = now_ + milliseconds(1)}}).ok());
  *cancelled = true;
  queue_->ReapCancelled(finished_);
  EXPECT_THAT(Log(), ElementsAre("1 CANCELLED"));
  now_ += milliseconds(1);
  Batch none;
  queue_->Take(now_, 1, none, finished_);
  EXPECT_THAT(Log(), ElementsAre("3 DEADLINE_EXCEEDED"));
  Complete();
  EXPECT_THAT(Log(), ElementsAre("2 OK shared", "0 OK"));
}

TEST_F(SharingTest, ABatchThatWaitsForCompanyLeavesInTimeForASharer) {
  queue_ = std::make_unique<Queue>(
      BatchLimits{.rows_max = 100, .sequences_max = 4, .delay_max = milliseconds(100)}, kQueue);
  ASSERT_TRUE(Submit({{"a"}}).ok());
  EXPECT_EQ(Take(), 0u);
  ASSERT_TRUE(
      Submit({{.key = "a", .deadline = now_ + milliseconds(50), .priority = Priority::kLow}}).ok());
  EXPECT_EQ(Take(), 1u);
  Complete();
  EXPECT_THAT(Log(), ElementsAre("1 OK shared", "0 OK"));
}

TEST_F(SharingTest, OneThatGoesBeforeTheFirstLeadsInItsPlace) {
  ASSERT_TRUE(Submit({{.key = "a", .priority = Priority::kLow},
                      {.key = "b"},
                      {.key = "a", .deadline = now_ + milliseconds(50)}})
                  .ok());
  EXPECT_EQ(queue_->depth().rows, 20);
  EXPECT_EQ(queue_->depth().jobs, 3);
  EXPECT_EQ(queue_->depth().bytes, 30);
  EXPECT_EQ(Take(), 2u);
  EXPECT_EQ(batch_.jobs[0]->key, "a");
  Complete();
  EXPECT_THAT(Log(), ElementsAre("0 OK shared", "2 OK", "1 OK"));
}

TEST_F(SharingTest, WhoInheritsGoesWhereItBelongs) {
  auto cancelled = std::make_shared<std::atomic<bool>>(false);
  ASSERT_TRUE(Submit({{.key = "a", .cancelled = cancelled},
                      {.key = "a", .priority = Priority::kLow},
                      {.key = "b"}})
                  .ok());
  *cancelled = true;
  EXPECT_EQ(Take(), 2u);
  EXPECT_EQ(batch_.jobs[0]->key, "b");
  Complete();
  EXPECT_THAT(Log(), ElementsAre("0 CANCELLED", "2 OK", "1 OK"));
}

TEST_F(SharingTest, AFailureAndAnEndAreForAll) {
  ASSERT_TRUE(Submit({{"a"}, {"a"}}).ok());
  EXPECT_EQ(Take(), 1u);
  Complete(absl::DataLossError("as planned"));
  EXPECT_THAT(Log(), UnorderedElementsAre("0 INTERNAL", "1 INTERNAL"));
  ASSERT_TRUE(Submit({{"a"}, {"a"}}).ok());
  queue_->Abandon(finished_);
  EXPECT_THAT(Log(), UnorderedElementsAre("2 UNAVAILABLE", "3 UNAVAILABLE"));
  EXPECT_EQ(queue_->depth().jobs, 0);
}

// A life of the queue in which keys are few. Every answer is what the job alone deserves.
class Life {
 public:
  explicit Life(uint64_t seed) : random_(seed), batches_(2) {}

  void Run() {
    for (int event = 0; event < 120; ++event) {
      now_ += milliseconds(random_.Between(0, 2));
      Step();
      CallDone(finished_);
      if (::testing::Test::HasFailure()) return;
    }
    for (Batch& batch : batches_) End(batch);
    if (random_.OneIn(2)) {
      queue_.Abandon(finished_);
    } else {
      while (!queue_.empty()) {
        queue_.Take(now_, 1, batches_[0], finished_);
        End(batches_[0]);
      }
    }
    CallDone(finished_);
    for (size_t id = 0; id < records_.size(); ++id) {
      EXPECT_EQ(records_[id].answers, records_[id].accepted ? 1 : 0) << "job " << id;
    }
    EXPECT_EQ(queue_.depth().rows, 0);
    EXPECT_EQ(queue_.depth().jobs, 0);
    EXPECT_EQ(queue_.depth().bytes, 0);
  }

  int64_t shared() const { return shared_; }
  int64_t computed() const { return computed_; }

 private:
  struct Record {
    bool accepted = false;
    int answers = 0;
    Clock::time_point deadline;
    std::shared_ptr<std::atomic<bool>> cancelled = std::make_shared<std::atomic<bool>>(false);
  };

  void Step() {
    switch (random_.Between(0, 5)) {
      case 0:
      case 1:
        return Submit();
      case 2:
        if (!records_.empty()) {
          const int last = static_cast<int>(records_.size()) - 1;
          *records_[static_cast<size_t>(random_.Between(0, last))].cancelled = true;
        }
        return;
      case 3:
        return queue_.ReapCancelled(finished_);
      case 4:
        for (Batch& batch : batches_) {
          if (!batch.jobs.empty()) continue;
          queue_.Take(now_, 1, batch, finished_);
          return CheckRunning();
        }
        return;
      default:
        return End(batches_[static_cast<size_t>(random_.Between(0, 1))]);
    }
  }

  void Submit() {
    std::vector<std::unique_ptr<Job>> jobs;
    const size_t first = records_.size();
    for (int i = random_.Between(1, 3); i > 0; --i) {
      const size_t id = records_.size();
      Record& record = records_.emplace_back();
      record.deadline = random_.OneIn(3) ? now_ + milliseconds(random_.Between(1, 6)) : kNever;
      auto job = std::make_unique<Job>();
      job->rows = 10;
      job->bytes = 10;
      job->key = random_.OneIn(5) ? "" : std::string(1, static_cast<char>(random_.Between(97, 99)));
      job->task = EncodeTask{};
      job->deadline = record.deadline;
      job->priority = static_cast<Priority>(random_.Between(0, 2));
      job->caller = random_.Between(0, 2);
      job->cancelled = record.cancelled;
      job->done = [this, id](std::unique_ptr<Job> done, const absl::Status& status) {
        Answer(id, *done, status);
      };
      jobs.push_back(std::move(job));
    }
    const absl::Status would = queue_.Check(jobs, now_);
    const bool accepted = queue_.Submit(jobs, now_).ok();
    EXPECT_EQ(would.ok(), accepted);
    for (size_t id = first; id < records_.size(); ++id) records_[id].accepted = accepted;
  }

  void Answer(size_t id, const Job& job, const absl::Status& status) {
    Record& record = records_[id];
    EXPECT_TRUE(record.accepted) << "job " << id << " was refused";
    ++record.answers;
    if (status.ok() && !job.key.empty()) {
      EXPECT_EQ(std::get<EncodeTask>(job.task).pooled_out, std::vector<float>{ResultOf(job.key)});
      shared_ += job.timings.shared;
    }
    if (absl::IsCancelled(status)) {
      EXPECT_TRUE(*record.cancelled) << "job " << id << " was not cancelled";
    }
    if (absl::IsDeadlineExceeded(status)) {
      EXPECT_LE(record.deadline, now_) << "job " << id << " had time left";
    }
  }

  void CheckRunning() {
    std::multiset<std::string> keys;
    for (const Batch& batch : batches_) {
      for (const auto& job : batch.jobs) {
        if (!job->key.empty()) keys.insert(job->key);
      }
    }
    for (const std::string& key : keys) {
      EXPECT_EQ(keys.count(key), 1u) << key << " is computed twice at the same time";
    }
  }

  void End(Batch& batch) {
    computed_ += static_cast<int64_t>(batch.jobs.size());
    Compute(batch);
    absl::Status step = random_.OneIn(8) ? absl::DataLossError("as planned") : absl::OkStatus();
    if (!batch.jobs.empty() && queue_.IsAbandoned(batch, now_)) {
      step = absl::CancelledError("nobody waits");
      if (random_.OneIn(2)) Submit();  // While the worker is on its way back.
    }
    queue_.Complete(step, now_, batch, finished_);
  }

  Random random_;
  Clock::time_point now_ = kStart;
  Queue queue_{{.rows_max = 40, .sequences_max = 3}, {.rows_max = 120, .jobs_max = 14}};
  std::vector<Batch> batches_;
  std::vector<Finished> finished_;
  std::vector<Record> records_;
  int64_t shared_ = 0, computed_ = 0;
};

TEST(SharingLifeTest, EveryJobGetsWhatItAloneDeserves) {
  int64_t shared = 0, computed = 0;
  for (uint64_t seed = 0; seed < 5'000; ++seed) {
    Life life(seed);
    life.Run();
    ASSERT_FALSE(::testing::Test::HasFailure()) << "seed " << seed;
    shared += life.shared();
    computed += life.computed();
  }
  // The seeds reach what they are meant to reach.
  EXPECT_GT(shared, 20'000);
  EXPECT_GT(computed, 50'000);
}

}  // namespace
}  // namespace attnd
