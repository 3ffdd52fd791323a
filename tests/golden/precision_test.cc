// Goal: int8 and bf16 are near f32 where it counts: on the default model and the golden texts.
// Method: the same checkpoint loaded in each; cosines and the order of similarities. Needs
// ATTND_MODEL and ATTND_GOLDEN_DIR.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "core/base/model_dir.h"
#include "core/input/calibration_texts.h"
#include "core/input/tokenizer.h"
#include "core/model/accuracy.h"
#include "core/model/model.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/precisions.h"

namespace attnd {
namespace {

std::string Read(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The texts that people could have written: the golden strings are mostly edge cases of
// tokenizers, of which those of some words are taken.
std::vector<std::string> Texts(const std::string& folder) {
  const auto file = nlohmann::json::parse(Read(folder + "/cases/minilm.json"));
  std::set<std::string> texts;
  for (const auto& one : file.at("cases")) {
    if (one.at("kind") == "similarity") {
      for (const auto& pair : one.at("pairs")) {
        for (const auto& text : pair) texts.insert(text.get<std::string>());
      }
    } else if (one.at("kind") == "string") {
      const std::string text = one.at("text").get<std::string>();
      if (std::count(text.begin(), text.end(), ' ') >= 3) texts.insert(text);
    }
  }
  return {texts.begin(), texts.end()};
}

// Of the environment; empty if it is not there.
std::string Named(const char* variable) {
  const char* value = std::getenv(variable);
  return value == nullptr ? "" : value;
}

class PrecisionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string directory = Named("ATTND_MODEL"), golden = Named("ATTND_GOLDEN_DIR");
    if (directory.empty() || golden.empty()) GTEST_SKIP() << "no model or no golden folder";
    auto dir = ModelDir::Open(directory);
    ASSERT_TRUE(dir.ok()) << dir.status();
    dir_.emplace(*std::move(dir));
    auto tokenizer = Tokenizer::Load(Read(directory + "/tokenizer.json"));
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *std::move(tokenizer);
    texts_ = Texts(golden);
    ASSERT_GT(texts_.size(), 40U);
    inputs_ = Encode(texts_);
    auto f32 = Model::Load(*dir_, {});
    ASSERT_TRUE(f32.ok()) << f32.status();
    f32_ = *std::move(f32);
  }

  std::vector<std::vector<int32_t>> Encode(const auto& texts) {
    std::vector<std::vector<int32_t>> inputs;
    for (const std::string_view text : texts) {
      const TokenizeOptions options{.truncation = Truncation::kRight, .length_max = 256};
      const auto tokens = tokenizer_->Encode(text, std::nullopt, options);
      EXPECT_TRUE(tokens.ok()) << tokens.status();
      if (tokens.ok()) inputs.push_back(tokens->ids);
    }
    return inputs;
  }

  absl::StatusOr<std::unique_ptr<const Model>> Load(Precision precision) {
    return Model::Load(*dir_,
                       {.precision = precision, .calibration = Encode(BuiltInCalibrationTexts())});
  }

  Vectors Pool(const Model& model) {
    Encoder::Scratch scratch(model.encoder());
    auto vectors = PoolEach(model.encoder(), Pooling::kMean, inputs_, scratch);
    EXPECT_TRUE(vectors.ok()) << vectors.status();
    return vectors.ok() ? *std::move(vectors) : Vectors();
  }

  Accuracy Compare(const Model& model, const char* what) {
    const Accuracy accuracy = CompareToF32(Pool(model), Pool(*f32_));
    std::cout << what << ", " << accuracy.inputs << " texts: cosine " << accuracy.cosine_mean
              << " on average, " << accuracy.cosine_min << " at least (\""
              << texts_[static_cast<size_t>(accuracy.worst)].substr(0, 60) << "\"), ranking "
              << accuracy.ranking_agreement << "\n";
    return accuracy;
  }

  std::optional<ModelDir> dir_;
  std::unique_ptr<const Tokenizer> tokenizer_;
  std::vector<std::string> texts_;
  std::vector<std::vector<int32_t>> inputs_;
  std::unique_ptr<const Model> f32_;
};

TEST_F(PrecisionTest, TheDefaultModelInInt8IsNearItsF32) {
  const auto int8 = Load(Precision::kInt8);
  ASSERT_TRUE(int8.ok()) << int8.status();
  const auto plain = Model::Load(*dir_, {.precision = Precision::kInt8});
  ASSERT_TRUE(plain.ok()) << plain.status();
  const Accuracy uncalibrated = Compare(**plain, "int8, not calibrated");
  const Accuracy accuracy = Compare(**int8, "int8, calibrated");
  EXPECT_GE(accuracy.cosine_min, 0.995);
  EXPECT_GE(accuracy.ranking_agreement, 0.99);
  EXPECT_GT(accuracy.cosine_mean, uncalibrated.cosine_mean);
  // What it says of itself, of other texts, is about as much.
  EXPECT_NEAR((*int8)->info().accuracy->cosine_mean, accuracy.cosine_mean, 0.001);
  // A quarter of the layers' weights; the token table stays as it is.
  EXPECT_LT((*int8)->info().weight_bytes, f32_->info().weight_bytes * 7 / 10);
  EXPECT_NE((*int8)->info().version, f32_->info().version);
  EXPECT_EQ((*int8)->info().dtype, "int8");
}

TEST_F(PrecisionTest, TheDefaultModelInBf16IsNearItsF32WhereItIsComputed) {
  const auto bf16 = Load(Precision::kBf16);
  ASSERT_EQ(bf16.ok(), testing::ComputesBf16()) << bf16.status();
  if (!bf16.ok()) {
    EXPECT_EQ(bf16.status().code(), absl::StatusCode::kUnimplemented);
    return;
  }
  const Accuracy accuracy = Compare(**bf16, "bf16");
  EXPECT_GE(accuracy.cosine_min, 0.9995);
  EXPECT_LT(accuracy.cosine_min, 0.9999999);  // It was bf16.
  EXPECT_GE(accuracy.ranking_agreement, 0.99);
  EXPECT_LT((*bf16)->info().weight_bytes, f32_->info().weight_bytes * 8 / 10);
  EXPECT_NE((*bf16)->info().version, f32_->info().version);
  // Nothing is fitted to the texts.
  const auto plain = Model::Load(*dir_, {.precision = Precision::kBf16});
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ((*plain)->info().version, (*bf16)->info().version);
  EXPECT_EQ((*bf16)->info().dtype, "bf16");
}

}  // namespace
}  // namespace attnd
