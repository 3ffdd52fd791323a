// Goal: a model's directory becomes what the services see of it, and the mask token is read from
// either file as people write it, or refused by name. Method: directories written by the test.

#include "server/serve_model.h"

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <utility>

#include "core/base/model_dir.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TempDir;

constexpr char kConfig[] = "tokenizer_config.json";
constexpr char kMap[] = "special_tokens_map.json";

absl::StatusOr<std::optional<std::string>> Read(
    std::initializer_list<std::pair<const char*, std::string>> files) {
  const TempDir dir;
  for (const auto& [name, text] : files) std::ofstream(dir / name) << text;
  return ReadMaskToken(*ModelDir::Open(dir.path()));
}

TEST(MaskTokenTest, EitherFileNamesItAsATextOrAnObject) {
  EXPECT_EQ(*Read({{kConfig, R"({"mask_token": "[MASK]"})"}}), "[MASK]");
  EXPECT_EQ(*Read({{kConfig, R"({"mask_token": {"content": "<mask>", "lstrip": true}})"}}),
            "<mask>");
  EXPECT_EQ(*Read({{kMap, R"({"mask_token": {"content": "<mask>"}})"}}), "<mask>");
  EXPECT_EQ(*Read({{kConfig, R"({"cls_token": "[CLS]"})"}, {kMap, R"({"mask_token": "M"})"}}), "M");
  EXPECT_EQ(*Read({{kConfig, R"({"mask_token": "A"})"}, {kMap, R"({"mask_token": "B"})"}}), "A");
}

TEST(MaskTokenTest, ThereMayBeNone) {
  EXPECT_EQ(*Read({}), std::nullopt);
  EXPECT_EQ(*Read({{kConfig, R"({"mask_token": null})"}, {kMap, "{}"}}), std::nullopt);
}

TEST(MaskTokenTest, AFileThatIsCutOrLiesIsRefusedByName) {
  for (const char* text : {"", "{", R"({"mask_token": "[MA)", "[]", R"({"mask_token": 3})",
                           R"({"mask_token": ["[MASK]"]})", R"({"mask_token": {}})",
                           R"({"mask_token": {"content": 3}})", "{\"mask_token\": \"\xff\"}"}) {
    for (const char* name : {kConfig, kMap}) {
      const auto token = Read({{name, text}});
      EXPECT_EQ(token.status().code(), absl::StatusCode::kInvalidArgument) << text;
      EXPECT_THAT(std::string(token.status().message()), HasSubstr(name)) << text;
    }
  }
  EXPECT_FALSE(Read({{kConfig, std::string(9 << 20, ' ')}}).ok());
}

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

TEST(ServeModelTest, ATokenizerThatDoesNotBelongToTheModelIsRefused) {
  const TempDir dir;
  testing::WriteTinyBert(dir.path());
  nlohmann::json tokenizer = nlohmann::json::parse(testing::TinyTokenizer());
  tokenizer["model"]["vocab"]["more"] = 500;
  std::ofstream(dir / "tokenizer.json") << tokenizer.dump();
  const auto loaded = LoadModel(dir.path(), {});
  EXPECT_EQ(loaded.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(loaded.status().message()), HasSubstr("its largest id 500"));
  std::ofstream(dir / "tokenizer.json") << "{";
  EXPECT_THAT(std::string(LoadModel(dir.path(), {}).status().message()),
              HasSubstr("tokenizer.json: "));
}

}  // namespace
}  // namespace attnd
