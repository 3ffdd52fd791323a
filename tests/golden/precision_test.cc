// Goal: int8 is near f32 where it counts: on the default model and the golden texts. Method: the
// same checkpoint loaded in both; cosines and the order of similarities. Needs ATTND_MODEL and
// ATTND_GOLDEN_DIR.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
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

TEST(Int8Test, TheDefaultModelIsNearItsF32) {
  const char* directory = std::getenv("ATTND_MODEL");
  const char* golden = std::getenv("ATTND_GOLDEN_DIR");
  if (directory == nullptr || golden == nullptr) GTEST_SKIP() << "no model or no golden folder";
  const auto dir = ModelDir::Open(directory);
  ASSERT_TRUE(dir.ok()) << dir.status();
  const auto tokenizer = Tokenizer::Load(Read(std::string(directory) + "/tokenizer.json"));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();

  const auto encode = [&](const auto& texts) {
    std::vector<std::vector<int32_t>> inputs;
    for (const std::string_view text : texts) {
      const TokenizeOptions options{.truncation = Truncation::kRight, .length_max = 256};
      const auto tokens = (*tokenizer)->Encode(text, std::nullopt, options);
      EXPECT_TRUE(tokens.ok()) << tokens.status();
      if (tokens.ok()) inputs.push_back(tokens->ids);
    }
    return inputs;
  };
  const std::vector<std::string> texts = Texts(golden);
  ASSERT_GT(texts.size(), 40U);
  const auto inputs = encode(texts);
  const auto f32 = Model::Load(*dir, {});
  ASSERT_TRUE(f32.ok()) << f32.status();
  const auto int8 = Model::Load(
      *dir, {.precision = Precision::kInt8, .calibration = encode(BuiltInCalibrationTexts())});
  ASSERT_TRUE(int8.ok()) << int8.status();
  const auto plain = Model::Load(*dir, {.precision = Precision::kInt8});
  ASSERT_TRUE(plain.ok()) << plain.status();
  const auto pool = [&](const Model& model) {
    Encoder::Scratch scratch(model.encoder());
    auto vectors = PoolEach(model.encoder(), Pooling::kMean, inputs, scratch);
    EXPECT_TRUE(vectors.ok()) << vectors.status();
    return vectors.ok() ? *std::move(vectors) : Vectors();
  };
  const auto compare = [&](const Model& model, const char* what) {
    const Accuracy accuracy = CompareToF32(pool(model), pool(**f32));
    std::cout << what << ", " << accuracy.inputs << " texts: cosine " << accuracy.cosine_mean
              << " on average, " << accuracy.cosine_min << " at least (\""
              << texts[static_cast<size_t>(accuracy.worst)].substr(0, 60) << "\"), ranking "
              << accuracy.ranking_agreement << "\n";
    return accuracy;
  };
  const Accuracy uncalibrated = compare(**plain, "not calibrated");
  const Accuracy accuracy = compare(**int8, "calibrated");
  EXPECT_GE(accuracy.cosine_min, 0.995);
  EXPECT_GE(accuracy.ranking_agreement, 0.99);
  EXPECT_GT(accuracy.cosine_mean, uncalibrated.cosine_mean);
  // What it says of itself, of other texts, is about as much.
  EXPECT_NEAR((*int8)->info().accuracy->cosine_mean, accuracy.cosine_mean, 0.001);
  // A quarter of the layers' weights; the token table stays as it is.
  EXPECT_LT((*int8)->info().weight_bytes, (*f32)->info().weight_bytes * 7 / 10);
  EXPECT_NE((*int8)->info().version, (*f32)->info().version);
  EXPECT_EQ((*int8)->info().dtype, "int8");
}

}  // namespace
}  // namespace attnd
