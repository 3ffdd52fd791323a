// Goal: a model in int8 is scaled by what its layers are given, and says how near it is to f32.
// Method: tiny random models; ranges against the rows that the encoder itself returns; accuracy of
// encoders whose differences are known.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/model/accuracy.h"
#include "core/model/calibrate.h"
#include "core/model/model.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_families.h"
#include "tests/support/tiny_model.h"

namespace attnd {
namespace {

const std::vector<std::vector<int32_t>> kInputs = {
    {2, 7, 5, 9, 11, 3}, {2, 8, 3}, {2, 3}, {2, 6, 7, 8, 9, 10, 11, 12, 13, 14, 3}};

Vectors Pool(const Model& model) {
  Encoder::Scratch scratch(model.encoder());
  auto vectors = PoolEach(model.encoder(), model.info().pooling, kInputs, scratch);
  EXPECT_TRUE(vectors.ok()) << vectors.status();
  return vectors.ok() ? *std::move(vectors) : Vectors();
}

class Int8ModelTest : public ::testing::Test {
 protected:
  Int8ModelTest() {
    onednn::UseOneThread();
    testing::WriteTinyBert(dir_.path(), {});
  }
  std::unique_ptr<const Model> Load(const Model::Options& options) {
    auto model = Model::Load(*ModelDir::Open(dir_.path()), options);
    EXPECT_TRUE(model.ok()) << model.status();
    return model.ok() ? *std::move(model) : nullptr;
  }

  testing::TempDir dir_;
};

TEST_F(Int8ModelTest, ObservesTheTokensThatEachLayerIsGiven) {
  const auto model = Load({});
  const Encoder& encoder = model->encoder();
  const auto observed = ObserveInputs(encoder, Pooling::kMean, kInputs);
  ASSERT_TRUE(observed.ok()) << observed.status();
  EXPECT_EQ(observed->ranges.size(), 4U * static_cast<size_t>(model->info().layers));
  // Queries, keys and values are made of the layer's input, and the padding's rows are none.
  const auto hidden = static_cast<size_t>(model->info().hidden);
  std::vector<float> expected(hidden);
  Encoder::Scratch scratch(encoder);
  for (const auto& ids : kInputs) {
    EncodeTask task;
    task.ids = ids;
    task.hidden_layers = {1};
    model->SizeOutputs(task);
    EncodeTask* tasks[] = {&task};
    ASSERT_TRUE(encoder.Run(tasks, scratch).ok());
    for (size_t i = 0; i < task.hidden_out.size(); ++i) {
      expected[i % hidden] = std::max(expected[i % hidden], std::abs(task.hidden_out[i]));
    }
  }
  EXPECT_EQ(observed->ranges.at("encoder.1.attention.qkv"), expected);
}

TEST_F(Int8ModelTest, SaysHowNearItIsToF32) {
  const auto f32 = Load({}), int8 = Load({.precision = Precision::kInt8, .calibration = kInputs});
  EXPECT_EQ(f32->info().dtype, "f32");
  EXPECT_FALSE(f32->info().accuracy.has_value());
  EXPECT_EQ(int8->info().dtype, "int8");
  ASSERT_TRUE(int8->info().accuracy.has_value());
  const Accuracy& accuracy = *int8->info().accuracy;
  EXPECT_EQ(accuracy.inputs, static_cast<int32_t>(kInputs.size()));
  EXPECT_LT(accuracy.cosine_min, 1);  // It is not f32.
  EXPECT_GT(accuracy.cosine_min, 0.99);
  EXPECT_GE(accuracy.cosine_mean, accuracy.cosine_min);
  EXPECT_NE(f32->info().version, int8->info().version);
  EXPECT_LT(int8->info().weight_bytes, f32->info().weight_bytes);
  // Asked again, it says the same.
  const auto again = CompareToF32(Pool(*int8), Pool(*f32));
  EXPECT_EQ(again.cosine_min, accuracy.cosine_min);
  EXPECT_EQ(again.worst, accuracy.worst);
  EXPECT_EQ(again.ranking_agreement, accuracy.ranking_agreement);
}

TEST_F(Int8ModelTest, WithoutCalibrationItComputesAndSaysNothing) {
  const auto int8 = Load({.precision = Precision::kInt8}), f32 = Load({});
  EXPECT_EQ(int8->info().dtype, "int8");
  EXPECT_FALSE(int8->info().accuracy.has_value());
  const auto accuracy = CompareToF32(Pool(*int8), Pool(*f32));
  EXPECT_GT(accuracy.cosine_min, 0.99);
}

TEST_F(Int8ModelTest, ACalibrationThatTheModelCannotTakeIsRefused) {
  const auto refused = [&](std::vector<std::vector<int32_t>> calibration, const char* why) {
    const auto model =
        Model::Load(*ModelDir::Open(dir_.path()),
                    {.precision = Precision::kInt8, .calibration = std::move(calibration)});
    EXPECT_EQ(model.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(model.status().message()), ::testing::HasSubstr(why));
  };
  refused({{1}, {2}}, "2 calibration inputs; 3 are the least");
  refused({{1}, {2}, {}}, "0 tokens; 1 to 64");
  refused({{1}, {2}, std::vector<int32_t>(65, 1)}, "65 tokens; 1 to 64");
  refused({{1}, {2}, {3, testing::TinyVocabularySize()}}, "outside the vocabulary");
  refused({{1}, {2}, {3, -1}}, "outside the vocabulary");
}

TEST_F(Int8ModelTest, TheVersionCoversWhatItIsCalibratedOn) {
  const auto version = [&](Precision precision, std::vector<std::vector<int32_t>> calibration) {
    return Load({.precision = precision, .calibration = std::move(calibration)})->info().version;
  };
  auto other = kInputs;
  other.back().back() = 4;
  const std::string calibrated = version(Precision::kInt8, kInputs);
  EXPECT_EQ(version(Precision::kInt8, kInputs), calibrated);
  EXPECT_NE(version(Precision::kInt8, other), calibrated);
  EXPECT_NE(version(Precision::kInt8, {}), calibrated);
  // It changes nothing in f32.
  EXPECT_EQ(version(Precision::kF32, kInputs), version(Precision::kF32, {}));
}

TEST_F(Int8ModelTest, AModelAgreesWithItselfAndNotWithAnother) {
  const auto model = Load({});
  const auto itself = CompareToF32(Pool(*model), Pool(*model));
  EXPECT_NEAR(itself.cosine_min, 1, 1e-12);
  EXPECT_EQ(itself.ranking_agreement, 1);
  testing::TempDir other_dir;
  testing::WriteTinyBert(other_dir.path(), {.seed = 99});
  const auto other = Model::Load(*ModelDir::Open(other_dir.path()), {});
  ASSERT_TRUE(other.ok()) << other.status();
  const auto different = CompareToF32(Pool(**other), Pool(*model));
  EXPECT_LT(different.cosine_mean, 0.9);
}

// Every family's layers have their ranges under the names that they are loaded by.
TEST(Int8FamiliesTest, EachFamilyIsObservedAndLoaded) {
  onednn::UseOneThread();
  for (const testing::TinyModel& shape : testing::TinyModels()) {
    testing::TempDir dir;
    testing::WriteTinyModel(dir.path(), shape);
    const auto f32 = Model::Load(*ModelDir::Open(dir.path()), {});
    ASSERT_TRUE(f32.ok()) << f32.status();
    const auto observed = ObserveInputs((*f32)->encoder(), Pooling::kMean, kInputs);
    ASSERT_TRUE(observed.ok()) << observed.status();
    for (const auto& [name, linear] : (*f32)->encoder().LayerLinears()) {
      ASSERT_TRUE(observed->ranges.contains(name)) << name;
      EXPECT_GT(*std::ranges::max_element(observed->ranges.at(name)), 0) << name;
    }
    const auto int8 = Model::Load(*ModelDir::Open(dir.path()),
                                  {.precision = Precision::kInt8, .calibration = kInputs});
    ASSERT_TRUE(int8.ok()) << int8.status();
    EXPECT_GT((*int8)->info().accuracy->cosine_min, 0.98) << NameOf(shape);
  }
}

}  // namespace
}  // namespace attnd
