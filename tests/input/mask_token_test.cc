// Goal: the mask token is read from either file as people write it, or refused by name. Method:
// directories written by the test.

#include "core/input/mask_token.h"

#include <fstream>
#include <optional>
#include <string>
#include <utility>

#include "core/base/model_dir.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"

namespace attnd {
namespace {

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

}  // namespace
}  // namespace attnd
