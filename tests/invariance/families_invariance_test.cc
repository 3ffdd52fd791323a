// Goal: in every family and with every head, no answer depends on who shares its batch: not one bit
// of rows, layers, attention, logits or anything else that a task may ask for. Method: tiny models
// with random weights; sequences of 1 to 200 tokens (longer than ModernBERT's local windows), each
// with options of its own; encode each alone, then in batches of random neighbours, and compare
// every output. Then all models at once behind one engine, whose workers go from model to model.
// Control: one bit changed in any of the outputs is noticed.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <iostream>
#include <latch>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "core/base/model_dir.h"
#include "core/batch/engine.h"
#include "core/batch/model_executor.h"
#include "core/model/model.h"
#include "core/tensor/onednn.h"
#include "core/tensor/team.h"
#include "gtest/gtest.h"
#include "tests/support/precisions.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_families.h"

namespace attnd {
namespace {

using Random = std::mt19937;
using testing::TinyModel;

constexpr int32_t kLengthMax = 200;
constexpr int32_t kAttentionLengthMax = 65;  // Weights of longer ones would only fill memory.
constexpr int32_t kBatchRowsMax = 1024;
constexpr int64_t kComparisons = 300;  // Of each model.

int32_t Pick(Random& random, int32_t low, int32_t high) {
  return std::uniform_int_distribution<int32_t>(low, high)(random);
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  // Of nothing there is no address, which memcmp must have.
  if (a.empty() || b.empty()) return a.empty() == b.empty();
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

bool SameAnswer(const EncodeTask& a, const EncodeTask& b) {
  return std::ranges::all_of(kEncodeOutputs,
                             [&](const auto output) { return SameBits(a.*output, b.*output); });
}

// Parts in any order, each in the workspace of any member, one after the other: what only threads
// can do to each other is the engine's tests to find.
class ShuffledTeam : public Team {
 public:
  ShuffledTeam(std::vector<Workspace*> workspaces, Random& random)
      : workspaces_(std::move(workspaces)), random_(random) {}
  int size() const override { return static_cast<int>(workspaces_.size()); }
  void For(int64_t count, Part part) override {
    std::vector<int64_t> order(static_cast<size_t>(count));
    std::iota(order.begin(), order.end(), 0);
    std::ranges::shuffle(order, random_);
    for (const int64_t index : order) part(index, *workspaces_[Pick(random_, 0, size() - 1)]);
  }

 private:
  const std::vector<Workspace*> workspaces_;
  Random& random_;
};

class Subject {
 public:
  explicit Subject(const TinyModel& shape, Precision precision = Precision::kF32) : shape_(shape) {
    onednn::UseOneThread();
    testing::WriteTinyModel(dir_.path(), shape);
    Model::Options options{.batch_rows_max = kBatchRowsMax, .precision = precision};
    if (precision != Precision::kF32)
      options.calibration = {{1, 2, 3, 4, 5, 6, 7, 8, 9}, {2}, {3, 9}};
    auto model = Model::Load(*ModelDir::Open(dir_.path()), options);
    EXPECT_TRUE(model.ok()) << model.status();
    if (!model.ok()) return;
    model_ = *std::move(model);
    scratch_ = std::make_unique<Encoder::Scratch>(model_->encoder());
  }
  bool loaded() const { return model_ != nullptr; }
  const Model& model() const { return *model_; }

  // Random ids.
  EncodeTask Plain(int32_t length, Random& random) const {
    EncodeTask task;
    const bool has_types = model_->info().token_types > 1;
    for (int32_t i = 0; i < length; ++i) {
      task.ids.push_back(Pick(random, 0, model_->info().vocabulary - 1));
      if (has_types) task.types.push_back(Pick(random, 0, model_->info().token_types - 1));
    }
    task.return_rows = true;
    return task;
  }

  // `task` with a random choice of what else the model can do.
  EncodeTask WithOptions(EncodeTask task, Random& random) const {
    const ModelInfo& info = model_->info();
    const auto length = static_cast<int32_t>(task.ids.size());
    const auto toss = [&] { return Pick(random, 0, 1) == 1; };
    constexpr Pooling kPoolings[] = {Pooling::kCls, Pooling::kMean, Pooling::kMax, Pooling::kLast};
    task.pooling = info.has_pooler && toss() ? Pooling::kPooler : kPoolings[Pick(random, 0, 3)];
    task.normalize = toss();
    for (int32_t layer = 0; layer <= info.layers; ++layer) {
      if (toss()) task.hidden_layers.push_back(layer);
    }
    if (length <= kAttentionLengthMax && toss()) {
      for (int32_t layer = 1; layer <= info.layers; ++layer) {
        if (toss()) task.attention_layers.push_back(layer);
      }
      if (toss()) task.attention_heads.push_back(Pick(random, 0, info.heads - 1));
      task.return_attention_weights = !task.attention_layers.empty() && toss();
      task.return_attention_scores = !task.attention_layers.empty() && toss();
    }
    task.return_logits = info.head != HeadKind::kNone && toss();
    if (info.head == HeadKind::kVocabulary) {
      task.return_sparse = toss();
      if (task.return_logits) task.logit_rows = {Pick(random, 0, length - 1), length - 1};
    }
    task.return_projection = toss();
    return task;
  }

  // The tasks, done as one batch. What they had as answers is gone before: one that is left
  // unwritten is none.
  std::vector<EncodeTask> Run(std::vector<EncodeTask> tasks) {
    std::vector<EncodeTask*> batch;
    for (EncodeTask& task : tasks) {
      model_->SizeOutputs(task);
      for (const auto output : kEncodeOutputs) std::ranges::fill(task.*output, std::nanf(""));
      batch.push_back(&task);
    }
    const absl::Status status = model_->encoder().Run(batch, *scratch_);
    EXPECT_TRUE(status.ok()) << status;
    return tasks;
  }
  // The same by a team of so many members.
  std::vector<EncodeTask> RunInTeam(std::vector<EncodeTask> tasks, int members, Random& random) {
    std::vector<std::unique_ptr<Encoder::Scratch>> scratches;
    std::vector<Workspace*> workspaces;
    for (int i = 0; i < members; ++i) {
      scratches.push_back(std::make_unique<Encoder::Scratch>(model_->encoder()));
      scratches.back()->workspace().Poison();
      workspaces.push_back(&scratches.back()->workspace());
    }
    std::vector<EncodeTask*> batch;
    for (EncodeTask& task : tasks) {
      for (const auto output : kEncodeOutputs) std::ranges::fill(task.*output, std::nanf(""));
      batch.push_back(&task);
    }
    ShuffledTeam team(std::move(workspaces), random);
    const absl::Status status = model_->encoder().Run(batch, *scratches[0], team);
    EXPECT_TRUE(status.ok()) << status;
    return tasks;
  }
  EncodeTask RunAlone(const EncodeTask& task) { return std::move(Run({task})[0]); }

 private:
  const TinyModel shape_;
  testing::TempDir dir_;
  std::unique_ptr<const Model> model_;
  std::unique_ptr<Encoder::Scratch> scratch_;
};

// Sizes that kernels and windows of the longest sequence have edges in.
TinyModel Sized(TinyModel shape) {
  shape.hidden = 32;
  shape.heads = 4;
  shape.inner = 64;
  shape.positions = kLengthMax;
  shape.local_attention = 16;
  return shape;
}

std::vector<int32_t> Lengths() {
  std::vector<int32_t> lengths(18);
  std::iota(lengths.begin(), lengths.end(), 1);
  for (const int32_t length : {31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 160, kLengthMax}) {
    lengths.push_back(length);
  }
  return lengths;
}

// Random sequences, as many as one batch holds, or fewer.
std::vector<EncodeTask> ChooseBatch(const std::vector<EncodeTask>& alone, Random& random) {
  std::vector<EncodeTask> chosen;
  const int32_t count = Pick(random, 2, 24);
  size_t rows = 0;
  while (static_cast<int32_t>(chosen.size()) < count) {
    const EncodeTask& task = alone[Pick(random, 0, static_cast<int32_t>(alone.size()) - 1)];
    rows += task.ids.size();
    if (rows > kBatchRowsMax) break;
    chosen.push_back(task);
  }
  return chosen;
}

class FamiliesInvarianceTest : public ::testing::TestWithParam<std::tuple<TinyModel, Precision>> {
 protected:
  FamiliesInvarianceTest()
      : subject_(Sized(std::get<TinyModel>(GetParam())), std::get<Precision>(GetParam())) {}
  void SetUp() override { ASSERT_TRUE(subject_.loaded()); }

  Subject subject_;
};

TEST_P(FamiliesInvarianceTest, NoBitDependsOnTheBatchOrOnTheOptions) {
  Random random(20260102);
  Subject& subject = subject_;
  std::vector<EncodeTask> alone;
  for (const int32_t length : Lengths()) {
    const EncodeTask plain = subject.RunAlone(subject.Plain(length, random));
    alone.push_back(subject.RunAlone(subject.WithOptions(plain, random)));
    EXPECT_TRUE(SameBits(alone.back().rows_out, plain.rows_out)) << length << " tokens";
    for (const auto output : kEncodeOutputs) {
      EXPECT_FALSE(
          std::ranges::any_of(alone.back().*output, [](float value) { return std::isnan(value); }));
    }
  }
  int64_t compared = 0, different = 0;
  while (compared < kComparisons) {
    const std::vector<EncodeTask> expected = ChooseBatch(alone, random);
    const std::vector<EncodeTask> answers = subject.Run(expected);
    for (size_t i = 0; i < answers.size(); ++i) {
      different += SameAnswer(answers[i], expected[i]) ? 0 : 1;
    }
    compared += static_cast<int64_t>(answers.size());
  }
  EXPECT_EQ(different, 0) << "of " << compared << " answers on " << onednn::Isa();
}

TEST_P(FamiliesInvarianceTest, NoBitDependsOnWhoComputesWhat) {
  Random random(20261125);
  Subject& subject = subject_;
  for (const int32_t length : {1, 8, 9, 16, 17, 40, 129, kLengthMax}) {
    std::vector<EncodeTask> tasks = {
        subject.RunAlone(subject.WithOptions(subject.Plain(length, random), random)),
        subject.RunAlone(subject.WithOptions(subject.Plain(length / 3 + 1, random), random))};
    if (length % 2 == 0) tasks.pop_back();  // A lone one.
    for (const int members : {2, 3, 7}) {
      const std::vector<EncodeTask> answers = subject.RunInTeam(tasks, members, random);
      for (size_t i = 0; i < tasks.size(); ++i) {
        EXPECT_TRUE(SameAnswer(answers[i], tasks[i])) << length << " tokens, " << members;
      }
    }
  }
}

std::string NameOfParameter(
    const ::testing::TestParamInfo<FamiliesInvarianceTest::ParamType>& info) {
  const auto& [model, precision] = info.param;
  return NameOf(model) + "_" + std::string(NameOf(precision));
}

INSTANTIATE_TEST_SUITE_P(Families, FamiliesInvarianceTest,
                         ::testing::Combine(::testing::ValuesIn(testing::TinyModels()),
                                            ::testing::ValuesIn(testing::PrecisionsHere())),
                         NameOfParameter);

// A model behind the engine, and what it answers alone.
struct Served {
  std::unique_ptr<Subject> subject;
  std::vector<EncodeTask> alone;
};

std::vector<Served> ServeAllFamilies(Random& random) {
  std::vector<Served> all;
  for (const TinyModel& shape : testing::TinyModels()) {
    Served& served = all.emplace_back(Served{std::make_unique<Subject>(Sized(shape)), {}});
    if (!served.subject->loaded()) return {};
    for (const int32_t length : {1, 2, 7, 16, 33, 65, 129}) {
      const EncodeTask plain = served.subject->Plain(length, random);
      served.alone.push_back(served.subject->RunAlone(served.subject->WithOptions(plain, random)));
    }
  }
  return all;
}

TEST(ModelsInvarianceTest, NoBitDependsOnTheOtherModelsOfTheProcess) {
  constexpr int kRounds = 12, kJobsARound = 200;
  Random random(20261125);
  const std::vector<Served> all = ServeAllFamilies(random);
  ASSERT_GT(all.size(), 20u);
  std::vector<Engine::Lane> lanes;
  for (const Served& served : all) {
    const Model& model = served.subject->model();
    lanes.push_back({.batch = {.rows_max = kBatchRowsMax},
                     .queue = {.rows_max = 1 << 20, .jobs_max = 1 << 16},
                     .weight = Pick(random, 1, 4) / 2.0,
                     .executors = ModelExecutors(model.encoder())});
  }
  Engine engine({.workers = 2, .split_rows = 8}, std::move(lanes));
  ASSERT_TRUE(engine.status().ok()) << engine.status();
  int64_t shared = 0, different = 0;
  for (int round = 0; round < kRounds; ++round) {
    std::latch running(kJobsARound);
    std::atomic<int64_t> wrong = 0, reused = 0;
    for (int i = 0; i < kJobsARound; ++i) {
      const int lane = Pick(random, 0, static_cast<int32_t>(all.size()) - 1);
      const std::vector<EncodeTask>& alone = all[lane].alone;
      const EncodeTask& expected = alone[Pick(random, 0, static_cast<int32_t>(alone.size()) - 1)];
      auto job = std::make_unique<Job>();
      EncodeTask task = expected;
      for (const auto output : kEncodeOutputs) std::ranges::fill(task.*output, std::nanf(""));
      job->rows = static_cast<int32_t>(task.ids.size());
      if (Pick(random, 0, 2) == 0) job->key = ContentKey(task);
      job->task = std::move(task);
      job->done = [&, expected = &expected](std::unique_ptr<Job> done, const absl::Status& status) {
        wrong += status.ok() && SameAnswer(std::get<EncodeTask>(done->task), *expected) ? 0 : 1;
        reused += done->timings.shared ? 1 : 0;
        running.count_down();
      };
      std::vector<std::unique_ptr<Job>> jobs;
      jobs.push_back(std::move(job));
      ASSERT_TRUE(engine.Submit(lane, jobs).ok());
    }
    running.wait();
    different += wrong;
    shared += reused;
  }
  EXPECT_EQ(different, 0) << "of " << kRounds * kJobsARound << " answers on " << onednn::Isa();
  EXPECT_GT(shared, 0);
}

TEST(FamiliesInvarianceControlTest, OneBitOfAnyOutputIsNoticed) {
  for (const auto output : kEncodeOutputs) {
    EncodeTask task;
    for (const auto each : kEncodeOutputs) (task.*each) = {0.5f, 0.25f};
    EncodeTask other = task;
    EXPECT_TRUE(SameAnswer(task, other));
    (other.*output)[1] = std::nextafter(0.25f, 1.0f);
    EXPECT_FALSE(SameAnswer(task, other));
  }
}

}  // namespace
}  // namespace attnd
