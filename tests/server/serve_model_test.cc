// Goal: a model's directory becomes what the services see of it. Method: directories written by the
// test.

#include "server/serve_model.h"

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "core/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TempDir;

TEST(ServeModelTest, TheServicesSeeTheModelAndItsTokenizer) {
  const TempDir dir;
  testing::WriteTinyBert(dir.path());
  const auto loaded = LoadModel(dir.path(), {.batch_rows_max = 64});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const ServedModel served = Serve("tiny", *loaded);
  EXPECT_EQ(served.name, "tiny");
  EXPECT_EQ(served.info.family, "bert");
  const auto tokens = served.tokenize("the cat", std::nullopt, {});
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_THAT(tokens->ids, ElementsAre(2, 83, 84, 3));
  EXPECT_EQ(*served.decode(tokens->ids, true), "the cat");
  EXPECT_EQ(served.token_of(84), "cat");
  EXPECT_EQ(served.mask_id, std::nullopt);
  EncodeTask task{.ids = tokens->ids, .return_rows = true};
  served.size_outputs(task);
  EXPECT_EQ(task.rows_out.size(), 4u * 16);
}

TEST(ServeModelTest, AModelInInt8IsMeasuredOverTheTexts) {
  const TempDir dir;
  testing::WriteTinyBert(dir.path());
  const Model::Options options{.batch_rows_max = 64, .precision = Precision::kInt8};
  const auto loaded = LoadModel(dir.path(), options);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const ServedModel served = Serve("tiny", *loaded);
  ASSERT_TRUE(served.info.accuracy.has_value());
  EXPECT_EQ(served.info.accuracy->inputs, 40);
  const auto worst = static_cast<size_t>(served.info.accuracy->worst);
  EXPECT_EQ(served.worst_text, CalibrationTexts::BuiltIn().texts().at(worst));

  // A line without tokens is no input, and moves no other's name.
  std::ofstream(dir / "texts.txt") << "\xe3\x80\x80\nthe cat\na b c\n1 2 3 4 5\n";
  const AccuracyDemand demand{.texts = *CalibrationTexts::Read(dir / "texts.txt")};
  const auto own = LoadModel(dir.path(), options, demand);
  ASSERT_TRUE(own.ok()) << own.status();
  EXPECT_EQ(own->model->info().accuracy->inputs, 3);
  EXPECT_EQ(own->worst_text, StrCat("line ", own->model->info().accuracy->worst + 2));
}

TEST(ServeModelTest, AModelFurtherFromF32ThanItMayBeIsRefused) {
  const TempDir dir;
  testing::WriteTinyBert(dir.path());
  const AccuracyDemand demand{.cosine_min = 1};
  const auto loaded = LoadModel(dir.path(), {.precision = Precision::kInt8}, demand);
  EXPECT_EQ(loaded.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(loaded.status().message()),
              HasSubstr("--accuracy-min: in int8 the vector of built-in calibration text "));
  const auto f32 = LoadModel(dir.path(), {}, demand);
  ASSERT_TRUE(f32.ok()) << f32.status();
  EXPECT_FALSE(f32->model->info().accuracy.has_value());
  EXPECT_EQ(Serve("tiny", *f32).worst_text, "");
}

TEST(ServeModelTest, ATokenizerThatDoesNotBelongToTheModelIsRefused) {
  const TempDir dir;
  testing::WriteTinyBert(dir.path());
  nlohmann::json tokenizer = nlohmann::json::parse(testing::TinyTokenizer());
  tokenizer["model"]["vocab"]["more"] = 500;
  std::ofstream(dir / "tokenizer.json") << tokenizer.dump();
  for (const Precision precision : {Precision::kF32, Precision::kInt8}) {
    const auto loaded = LoadModel(dir.path(), {.precision = precision});
    EXPECT_EQ(loaded.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(loaded.status().message()), HasSubstr("its largest id 500"));
  }
  std::ofstream(dir / "tokenizer.json") << "{";
  EXPECT_THAT(std::string(LoadModel(dir.path(), {}).status().message()),
              HasSubstr("tokenizer.json: "));
}

}  // namespace
}  // namespace attnd
