// Goal: Model::Check says what Model::Load would, without the weights' numbers. Method: a tiny
// model that both accept, one that only its numbers spoil, and one thing wrong at a time.
#include <algorithm>
#include <limits>

#include "core/model/model.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace attnd {
namespace {

using ::testing::HasSubstr;
using testing::RawTensor;
using testing::TempDir;

absl::StatusOr<ModelInfo> Check(const TempDir& dir) {
  return Model::Check(*ModelDir::Open(dir.path()));
}

absl::Status Load(const TempDir& dir) {
  return Model::Load(*ModelDir::Open(dir.path()), {.batch_rows_max = 64}).status();
}

TEST(ModelCheckTest, TellsWhatTheFilesSay) {
  TempDir dir;
  testing::WriteTinyBert(dir.path(), {.hidden = 32, .layers = 3, .dtype = "BF16"});
  const auto info = Check(dir);
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->family, "bert");
  EXPECT_EQ(info->hidden, 32);
  EXPECT_EQ(info->layers, 3);
  EXPECT_EQ(info->vocabulary, testing::TinyVocabularySize());
  EXPECT_EQ(info->checkpoint_dtype, "BF16");
  EXPECT_EQ(info->version, "");
}

TEST(ModelCheckTest, RefusesWithTheWordsOfLoad) {
  const auto damage = [](const std::string& file, const std::string& content) {
    TempDir dir;
    testing::WriteTinyBert(dir.path());
    dir.Write(file, content);
    const absl::Status status = Check(dir).status();
    EXPECT_FALSE(status.ok()) << file;
    EXPECT_EQ(status, Load(dir));
  };
  damage("config.json", "[]");
  damage("config.json", testing::TinyBertConfig({.layers = 3}).dump());
  damage("model.safetensors", "");
  damage("model.safetensors", testing::SafetensorsFile("{}", 0));
  damage("modules.json", "{}");
}

TEST(ModelCheckTest, DoesNotReadTheNumbers) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<RawTensor> tensors = testing::TinyBertTensors({});
  std::copy_n(reinterpret_cast<const char*>(&nan), sizeof(nan), tensors[0].bytes.begin());
  TempDir dir;
  testing::WriteTinyBert(dir.path());
  dir.Write("model.safetensors", testing::SafetensorsFile(tensors));
  EXPECT_TRUE(Check(dir).ok());
  EXPECT_THAT(Load(dir).message(), HasSubstr("holds NaN"));
}

}  // namespace
}  // namespace attnd
