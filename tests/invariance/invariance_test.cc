// Goal: an answer does not depend on who shares its batch, on its place in it, or on the number of
// workers: not one bit differs. Method: encode sequences of 1 to 512 tokens alone, then again and
// again in batches of random neighbours in random order, and compare every number of every answer.
// Controls: an executor that lets one bit depend on the batch is caught, and so is oneDNN's plain
// matmul on AVX2, which is why Linear is not made of it.
//
// ATTND_COMPARISONS sets how many answers are compared (default 12,000).
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <iterator>
#include <latch>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "core/base/model_dir.h"
#include "core/batch/engine.h"
#include "core/batch/model_executor.h"
#include "core/model/model.h"
#include "core/tensor/onednn.h"
#include "gtest/gtest.h"
#include "tests/support/precisions.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace attnd {
namespace {

using Random = std::mt19937;

constexpr int32_t kLengthMax = 512;
constexpr int32_t kShort = 34;
constexpr int32_t kBatchRowsMax = 4096;
constexpr int64_t kComparisonsPerLength = 900;

int64_t Pick(Random& random, int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(random);
}

int64_t ComparisonsWanted() {
  int64_t count = 12'000;
  if (const char* text = std::getenv("ATTND_COMPARISONS")) {
    EXPECT_TRUE(absl::SimpleAtoi(text, &count) && count > 0) << text;
  }
  return count;
}

// Lets the lowest bit of one number depend on the size of the batch.
class BatchDependentExecutor : public ModelExecutor {
 public:
  using ModelExecutor::ModelExecutor;
  absl::Status Step(std::span<Job* const> batch, Crew& crew) override {
    const absl::Status status = ModelExecutor::Step(batch, crew);
    if (batch.size() > 1) {
      float& number = std::get<EncodeTask>(batch.back()->task).rows_out.back();
      uint32_t bits = 0;
      std::memcpy(&bits, &number, sizeof(bits));
      bits ^= 1;
      std::memcpy(&number, &bits, sizeof(bits));
    }
    return status;
  }
};

enum class Answers { kOfTheModel, kDependingOnTheBatch };

// A model with random weights, an engine on it, and the sequences whose answers alone are known.
class Subject {
 public:
  Subject(const testing::TinyBert& shape, int workers, Precision precision = Precision::kF32,
          Answers answers = Answers::kOfTheModel) {
    testing::WriteTinyBert(dir_.path(), shape);
    Model::Options options{.batch_rows_max = kBatchRowsMax, .precision = precision};
    if (precision != Precision::kF32) options.calibration = {{1, 2, 3, 4, 5, 6, 7}, {2}, {3, 9}};
    auto model = Model::Load(*ModelDir::Open(dir_.path()), options);
    EXPECT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
    Engine::Lane lane{.batch = {.rows_max = kBatchRowsMax}, .queue = {.rows_max = 1 << 20}};
    const Encoder& encoder = model_->encoder();
    const auto workspaces = std::make_shared<ModelExecutor::Workspaces>();
    lane.executors = ModelExecutors(encoder);
    if (answers == Answers::kDependingOnTheBatch) {
      lane.executors = [&encoder, workspaces](int worker) {
        return std::make_unique<BatchDependentExecutor>(encoder, worker, workspaces);
      };
    }
    engine_ = std::make_unique<Engine>(Engine::Options{.workers = workers, .split_rows = 8},
                                       std::move(lane));
  }

  // Lengths ascend.
  void AddSequences(const std::vector<int32_t>& lengths, Random& random) {
    for (int32_t length : lengths) {
      std::vector<int32_t>& ids = sequences_.emplace_back(length);
      for (int32_t& id : ids) {
        id = static_cast<int32_t>(Pick(random, 0, testing::TinyVocabularySize() - 1));
      }
      const size_t added = sequences_.size() - 1;
      alone_.push_back(std::move(Run({&added, 1})[0]));
    }
  }

  // Runs sequences `chosen` together; returns how many of them got an answer that is not theirs
  // alone.
  int64_t CompareTogether(const std::vector<size_t>& chosen) {
    const std::vector<EncodeTask> answers = Run(chosen);
    int64_t different = 0;
    for (size_t i = 0; i < chosen.size(); ++i) {
      const EncodeTask& expected = alone_[chosen[i]];
      const bool same = SameBits(answers[i].rows_out, expected.rows_out) &&
                        SameBits(answers[i].pooled_out, expected.pooled_out);
      different += same ? 0 : 1;
    }
    return different;
  }

  size_t size() const { return sequences_.size(); }
  // How many sequences, the first ones, have at most that many tokens.
  size_t CountUpTo(size_t length) const {
    return std::ranges::count_if(sequences_, [&](const auto& ids) { return ids.size() <= length; });
  }
  int64_t length(size_t index) const { return static_cast<int64_t>(sequences_[index].size()); }
  // Of the batches run so far.
  int32_t largest_batch() const { return largest_batch_; }

 private:
  static bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
  }

  std::unique_ptr<Job> MakeJob(size_t index) const {
    EncodeTask task{.ids = sequences_[index], .return_rows = true, .pooling = Pooling::kMean};
    model_->SizeOutputs(task);
    // An answer left unwritten is no answer.
    std::ranges::fill(task.rows_out, std::nanf(""));
    std::ranges::fill(task.pooled_out, std::nanf(""));
    auto job = std::make_unique<Job>();
    job->rows = static_cast<int32_t>(length(index));
    job->task = std::move(task);
    return job;
  }

  // Submits all at once, so that a worker finds them together.
  std::vector<EncodeTask> Run(std::span<const size_t> chosen) {
    std::vector<EncodeTask> answers(chosen.size());
    std::vector<int32_t> batch_sizes(chosen.size());
    std::latch running(static_cast<std::ptrdiff_t>(chosen.size()));
    std::vector<std::unique_ptr<Job>> jobs;
    for (size_t i = 0; i < chosen.size(); ++i) {
      jobs.push_back(MakeJob(chosen[i]));
      jobs.back()->done = [&, i](std::unique_ptr<Job> done, absl::Status status) {
        EXPECT_TRUE(status.ok()) << status;
        answers[i] = std::get<EncodeTask>(std::move(done->task));
        batch_sizes[i] = done->timings.batch_sequences;
        running.count_down();
      };
    }
    const absl::Status submitted = engine_->Submit(0, jobs);
    EXPECT_TRUE(submitted.ok()) << submitted;
    if (!submitted.ok()) return answers;
    running.wait();
    largest_batch_ = std::max(largest_batch_, std::ranges::max(batch_sizes));
    return answers;
  }

  testing::TempDir dir_;
  std::unique_ptr<const Model> model_;
  std::unique_ptr<Engine> engine_;  // Ends before the model.
  std::vector<std::vector<int32_t>> sequences_;
  std::vector<EncodeTask> alone_;  // Of each sequence.
  int32_t largest_batch_ = 0;
};

// Short ones, where kernels change most; the edges of tiles; of the others some at random, and all
// where there are enough comparisons for them.
std::vector<int32_t> Lengths(int64_t comparisons, Random& random) {
  const std::set<int32_t> edges = {63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 512};
  std::vector<int32_t> lengths, others;
  for (int32_t length = 1; length <= kLengthMax; ++length) {
    (length <= kShort || edges.contains(length) ? lengths : others).push_back(length);
  }
  std::ranges::sample(others, std::back_inserter(lengths),
                      std::max<int64_t>(15, comparisons / kComparisonsPerLength), random);
  std::ranges::sort(lengths);
  return lengths;
}

// Random sequences, as many as all workers take at once. In one batch of four they are of any
// length, which is where nearly all of the time goes; in the others they are short.
std::vector<size_t> ChooseBatch(const Subject& subject, int workers, Random& random) {
  const auto candidates =
      static_cast<int64_t>(Pick(random, 0, 3) == 0 ? subject.size() : subject.CountUpTo(kShort));
  const int64_t count_max = Pick(random, 2, 40 * workers);
  const int64_t rows_max = Pick(random, 2, kBatchRowsMax * workers);
  std::vector<size_t> chosen;
  int64_t rows = 0;
  while (static_cast<int64_t>(chosen.size()) < count_max) {
    const auto index = static_cast<size_t>(Pick(random, 0, candidates - 1));
    rows += subject.length(index);
    if (rows > rows_max && chosen.size() >= 2) break;
    chosen.push_back(index);
  }
  return chosen;
}

struct Setting {
  const char* name;
  testing::TinyBert shape;
  int workers;
  int percent;  // Of all comparisons.
  Precision precision = Precision::kF32;
};

// The kernels follow from the sizes: a small one, MiniLM's and BERT-base's.
const Setting kSettings[] = {
    {"SmallOneWorker",
     {.hidden = 64, .heads = 4, .inner = 256, .positions = kLengthMax},
     /*workers=*/1,
     /*percent=*/40},
    {"SmallTwoWorkers",
     {.hidden = 64, .heads = 4, .inner = 256, .positions = kLengthMax},
     /*workers=*/2,
     /*percent=*/40},
    {"MiniLmOneWorker",
     {.hidden = 384, .layers = 2, .heads = 12, .inner = 1536, .positions = kLengthMax},
     /*workers=*/1,
     /*percent=*/5},
    {"MiniLmTwoWorkers",
     {.hidden = 384, .layers = 2, .heads = 12, .inner = 1536, .positions = kLengthMax},
     /*workers=*/2,
     /*percent=*/5},
    {"BertBaseTwoWorkers",
     {.hidden = 768, .layers = 1, .heads = 12, .inner = 3072, .positions = kLengthMax},
     /*workers=*/2,
     /*percent=*/2},
    {"SmallInt8TwoWorkers",
     {.hidden = 64, .heads = 4, .inner = 256, .positions = kLengthMax},
     /*workers=*/2,
     /*percent=*/4,
     Precision::kInt8},
    {"MiniLmInt8OneWorker",
     {.hidden = 384, .layers = 2, .heads = 12, .inner = 1536, .positions = kLengthMax},
     /*workers=*/1,
     /*percent=*/2,
     Precision::kInt8},
    {"MiniLmInt8TwoWorkers",
     {.hidden = 384, .layers = 2, .heads = 12, .inner = 1536, .positions = kLengthMax},
     /*workers=*/2,
     /*percent=*/2,
     Precision::kInt8},
    {"SmallBf16TwoWorkers",
     {.hidden = 64, .heads = 4, .inner = 256, .positions = kLengthMax},
     /*workers=*/2,
     /*percent=*/4,
     Precision::kBf16},
    {"MiniLmBf16TwoWorkers",
     {.hidden = 384, .layers = 2, .heads = 12, .inner = 1536, .positions = kLengthMax},
     /*workers=*/2,
     /*percent=*/2,
     Precision::kBf16},
};

std::vector<Setting> SettingsHere() {
  const std::vector<Precision> precisions = testing::PrecisionsHere();
  std::vector<Setting> here;
  for (const Setting& setting : kSettings) {
    if (std::ranges::count(precisions, setting.precision) > 0) here.push_back(setting);
  }
  return here;
}

std::string NameOf(const ::testing::TestParamInfo<Setting>& info) { return info.param.name; }

class InvarianceTest : public ::testing::TestWithParam<Setting> {};

TEST_P(InvarianceTest, NoBitDependsOnTheBatch) {
  const Setting& setting = GetParam();
  const int64_t wanted = ComparisonsWanted() * setting.percent / 100;
  Random random(20260101);
  Subject subject(setting.shape, setting.workers, setting.precision);
  subject.AddSequences(Lengths(wanted, random), random);
  int64_t compared = 0, different = 0;
  while (compared < wanted) {
    const std::vector<size_t> chosen = ChooseBatch(subject, setting.workers, random);
    different += subject.CompareTogether(chosen);
    compared += static_cast<int64_t>(chosen.size());
  }
  EXPECT_EQ(different, 0);
  EXPECT_GT(subject.largest_batch(), 4);  // They did share batches, in short runs too.
  RecordProperty("comparisons", std::to_string(compared));
  std::cout << compared << " answers compared on " << onednn::Isa() << ", " << different
            << " differ\n";
}

INSTANTIATE_TEST_SUITE_P(Shapes, InvarianceTest, ::testing::ValuesIn(SettingsHere()), NameOf);

TEST(InvarianceControlTest, OneBitThatDependsOnTheBatchIsNoticed) {
  Random random(1);
  Subject subject({.positions = kLengthMax}, /*workers=*/1, Precision::kF32,
                  Answers::kDependingOnTheBatch);
  subject.AddSequences({3, 5, 8}, random);
  EXPECT_EQ(subject.CompareTogether({0}), 0);
  EXPECT_EQ(subject.CompareTogether({0, 1, 2}), 1);
}

TEST(InvarianceControlTest, ThePlainMatmulOfAvx2GivesARowAnswersThatDependOnTheBatch) {
  if (onednn::HasAvx512()) {
    GTEST_SKIP() << "on this instruction set it need not; the run held to AVX2 has the control";
  }
  onednn::UseOneThread();
  constexpr int64_t kIn = 384, kOut = 1536, kRowsMax = 512;
  Random random(2);
  std::normal_distribution<float> normal;
  std::vector<float> x(kRowsMax * kIn), weights(kIn * kOut);
  for (float& value : weights) value = normal(random);
  // The same row everywhere, so that place and number of rows are all that varies.
  for (int64_t i = 0; i < kIn; ++i) x[i] = normal(random);
  for (int64_t row = 1; row < kRowsMax; ++row) std::copy_n(x.data(), kIn, &x[row * kIn]);

  std::vector<float> alone;
  int64_t different = 0;
  for (int64_t rows : {1, 2, 3, 4, 8, 16, 31, 64, 100, 256, 512}) {
    const auto view = [](int64_t height, int64_t width) {
      return onednn::View3{.shape = {1, height, width}, .strides = {height * width, width, 1}};
    };
    const auto matmul = onednn::Matmul::Make(view(rows, kIn), view(kIn, kOut), view(rows, kOut));
    ASSERT_TRUE(matmul.ok()) << matmul.status();
    std::vector<float> y(rows * kOut);
    std::vector<std::byte> scratchpad(matmul->scratchpad_bytes() + 64);
    matmul->Run(x.data(), weights.data(), y.data(), scratchpad.data());
    if (alone.empty()) alone = y;
    for (int64_t row = 0; row < rows; ++row) {
      different += std::memcmp(&y[row * kOut], alone.data(), kOut * sizeof(float)) != 0;
    }
  }
  EXPECT_GT(different, 0);
}

}  // namespace
}  // namespace attnd
