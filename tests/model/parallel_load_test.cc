// Goal: a model is the same whatever the number of threads that load it, and so is what is wrong
// with one. Method: every family and head in every precision, loaded by one thread and by several,
// run on the same input, compared bit for bit; tensors that cannot be
// read, and the message.
#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/strings.h"
#include "core/model/model.h"
#include "gtest/gtest.h"
#include "tests/support/precisions.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_families.h"

namespace attnd {
namespace {

using testing::TinyModel;

constexpr int kThreads = 4;

std::vector<float> Answer(const Model& model) {
  EncodeTask task;
  task.ids = {2, 5, 7, 6, 9, 3};
  task.return_rows = true;
  task.pooling = Pooling::kMean;
  task.hidden_layers = {0, model.info().layers};
  task.return_logits = model.info().head != HeadKind::kNone;
  if (model.info().head == HeadKind::kVocabulary) task.logit_rows = {1, 4};
  model.SizeOutputs(task);
  Encoder::Scratch scratch(model.encoder());
  EncodeTask* tasks[] = {&task};
  EXPECT_TRUE(model.encoder().Run(tasks, scratch).ok());
  std::vector<float> all;
  for (const auto output : kEncodeOutputs) {
    all.insert(all.end(), (task.*output).begin(), (task.*output).end());
  }
  return all;
}

class ParallelLoadTest : public ::testing::TestWithParam<Precision> {
 protected:
  absl::StatusOr<std::unique_ptr<const Model>> Load(const TinyModel& shape, int threads) {
    const testing::TempDir dir;
    testing::WriteTinyModel(dir.path(), shape);
    Model::Options options{.precision = GetParam(), .load_threads = threads};
    if (GetParam() != Precision::kF32) options.calibration = {{2, 7, 5, 9, 3}, {2, 8, 3}, {2, 3}};
    return Model::Load(*ModelDir::Open(dir.path()), options);
  }
};

TEST_P(ParallelLoadTest, GivesTheSameModel) {
  for (TinyModel shape : testing::TinyModels()) {
    shape.layers = 7;  // More than threads.
    const auto one = Load(shape, 1), several = Load(shape, kThreads);
    ASSERT_TRUE(one.ok() && several.ok()) << NameOf(shape) << one.status() << several.status();
    EXPECT_EQ((*one)->info().version, (*several)->info().version) << NameOf(shape);
    EXPECT_EQ((*one)->info().weight_bytes, (*several)->info().weight_bytes) << NameOf(shape);
    const std::vector<float> answer = Answer(**one);
    EXPECT_FALSE(answer.empty());
    EXPECT_EQ(answer, Answer(**several)) << NameOf(shape);
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, ParallelLoadTest,
                         ::testing::ValuesIn(testing::PrecisionsHere()),
                         [](const auto& one) { return std::string(NameOf(one.param)); });

// What a layer reads fails on whichever thread, and what is told is the first in order.
TEST(ParallelLoadErrorTest, TellsWhatOneThreadWouldHaveMetFirst) {
  ArchSpec arch;
  arch.hidden = 16;
  arch.vocabulary = 20;
  arch.length_max = 8;
  arch.embed = {.positions = 8, .token_types = 2};
  arch.encoder = {.layers = 9, .heads = 2, .head_size = 8, .inner = 32};
  const auto read = [](std::string_view name, auto, std::span<float> out) -> absl::Status {
    for (const char* broken : {"encoder.2.ffn.up.bias", "encoder.3.attention.q.weight"}) {
      if (name == broken) return absl::InvalidArgumentError(StrCat("broken: ", name));
    }
    std::fill(out.begin(), out.end(), 0.5f);
    return absl::OkStatus();
  };
  for (const int threads : {1, kThreads}) {
    for (int repeat = 0; repeat < 20; ++repeat) {
      const auto loaded = Encoder::Load(arch, {.load_threads = threads}, read);
      ASSERT_EQ(loaded.status().message(), "broken: encoder.2.ffn.up.bias") << threads;
    }
  }
}

}  // namespace
}  // namespace attnd
