// Goal: a line of `attnctl encode --jsonl` means what it says, and whatever else it holds becomes
// an error line. Method: lines in, inputs out; encodings in, lines out, read back by a JSON parser,
// floats bit for bit.

#include "client/commands/jsonl.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <sstream>

#include "client/commands/json_text.h"
#include "nlohmann/json.hpp"

namespace attnd::client {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(ParseJsonl, ATextAPairAndIdsAreInputs) {
  const JsonlLine text = ParseJsonl(R"({"text": "na\u00efve"})", 1);
  ASSERT_TRUE(text.input.ok()) << text.input.status();
  EXPECT_EQ(std::get<std::string>(text.input->kind), "na\u00efve");
  EXPECT_EQ(text.id_json, "null");

  const JsonlLine pair = ParseJsonl(R"({"text_pair": "b", "text": "", "id": 3})", 1);
  ASSERT_TRUE(pair.input.ok()) << pair.input.status();
  EXPECT_EQ(std::get<TextPair>(pair.input->kind).first, "");
  EXPECT_EQ(std::get<TextPair>(pair.input->kind).second, "b");
  EXPECT_EQ(pair.id_json, "3");

  const JsonlLine ids =
      ParseJsonl(R"({"ids": [101, -5, 102], "type_ids": [0,1,1], "id": "q\""})", 1);
  ASSERT_TRUE(ids.input.ok()) << ids.input.status();
  EXPECT_THAT(std::get<TokenIds>(ids.input->kind).ids, ElementsAre(101, -5, 102));
  EXPECT_THAT(std::get<TokenIds>(ids.input->kind).type_ids, ElementsAre(0, 1, 1));
  EXPECT_EQ(ids.id_json, R"("q\"")");
}

TEST(ParseJsonl, OtherKeysAreLeftAlone) {
  EXPECT_TRUE(ParseJsonl(R"({"text": "a", "label": {"x": [1]}})", 1).input.ok());
}

TEST(ParseJsonl, EverythingElseIsAnErrorThatNamesTheLine) {
  const char* lines[] = {"",
                         "not json",
                         "[1]",
                         "3",
                         R"({"text": "a")",
                         R"({"text": "a"} x)",
                         "{\"text\": \"\xff\"}",
                         R"({"text": "\ud800"})",
                         R"({"text": 3})",
                         R"({"text": null})",
                         R"({"text_pair": "b"})",
                         R"({"text": "a", "text_pair": 1})",
                         R"({"text": "a", "ids": [1]})",
                         R"({"ids": "1"})",
                         R"({"ids": [1.5]})",
                         R"({"ids": [2147483648]})",
                         R"({"ids": [18446744073709551615]})",
                         R"({"ids": [[1]]})",
                         R"({"ids": [1], "type_ids": 0})",
                         R"({"id": [1], "text": "a"})",
                         R"({"id": true, "text": "a"})",
                         "{}"};
  for (const char* line : lines) {
    const JsonlLine parsed = ParseJsonl(line, 12);
    EXPECT_EQ(parsed.input.status().code(), absl::StatusCode::kInvalidArgument) << line;
    EXPECT_THAT(std::string(parsed.input.status().message()), HasSubstr("line 12: ")) << line;
  }
}

TEST(ParseJsonl, AnErrorKeepsTheIdOfItsLine) {
  EXPECT_EQ(ParseJsonl(R"({"id": "seven", "text": 3})", 1).id_json, R"("seven")");
}

TEST(ParseJsonl, AMillionBracketsAreAnErrorAndNothingWorse) {
  const JsonlLine parsed = ParseJsonl(std::string(1'000'000, '['), 1);
  EXPECT_FALSE(parsed.input.ok());
}

Encoding SmallEncoding() {
  return {.token_count = 2,
          .truncated = true,
          .tokens = {{.id = 101, .text = "[CLS]", .special = true},
                     {.id = 7, .text = "caf\u00e9\"", .begin = 0, .end = 4, .text_index = 0}},
          .token_vectors = {.shape = {2, 2}, .values = {0.1F, -1, 1e-30F, 3}},
          .pooled = {0.5F, 1.0F / 3}};
}

TEST(FormatJsonl, HasTheKeysThatTheHelpNames) {
  const json line = json::parse(FormatJsonl("\"x\"", SmallEncoding()));
  EXPECT_EQ(line["id"], "x");
  EXPECT_EQ(line["ids"], json({101, 7}));
  EXPECT_EQ(line["tokens"], json({"[CLS]", "caf\u00e9\""}));
  EXPECT_EQ(line["offsets"], json::parse("[[0,0],[0,4]]"));
  EXPECT_EQ(line["special"], json({1, 0}));
  EXPECT_EQ(line["truncated"], true);
  EXPECT_EQ(line["pooled"].size(), 2U);
  EXPECT_EQ(line["vectors"].size(), 2U);
  EXPECT_EQ(line["vectors"][1][1], 3);
  EXPECT_FALSE(line.contains("text_indices"));
}

TEST(FormatJsonl, WhatWasNotAskedForIsLeftOut) {
  const json line = json::parse(FormatJsonl("null", Encoding{.pooled = {1}}));
  EXPECT_EQ(line, json::parse(R"({"id": null, "pooled": [1], "truncated": false})"));
}

TEST(FormatJsonl, OffsetsOfAPairSayWhichTextTheyPointInto) {
  Encoding encoding = SmallEncoding();
  encoding.tokens[1].text_index = 1;
  const json line = json::parse(FormatJsonl("null", encoding));
  EXPECT_EQ(line["text_indices"], json({-1, 1}));
}

TEST(FormatJsonl, FloatsReadBackAsTheSameBits) {
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    const float value = i == 0 ? -0.0F : std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (!std::isfinite(value)) continue;
    std::string text;
    AppendJson(value, text);
    EXPECT_EQ(std::bit_cast<uint32_t>(json::parse(text).get<float>()),
              std::bit_cast<uint32_t>(value))
        << text;
  }
  std::string text;
  AppendJson(std::numeric_limits<float>::quiet_NaN(), text);
  EXPECT_EQ(text, "null");
}

TEST(FormatJsonlError, HasCodeReasonAndMessage) {
  const json line = json::parse(
      FormatJsonlError("4", absl::InvalidArgumentError("a \"quoted\" \xff byte\nand a line")));
  EXPECT_EQ(line["id"], 4);
  EXPECT_EQ(line["error"]["code"], "INVALID_ARGUMENT");
  EXPECT_EQ(line["error"]["reason"], "");
  EXPECT_EQ(line["error"]["message"], "a \"quoted\" \ufffd byte\nand a line");
  EXPECT_FALSE(line.contains("pooled"));
}

TEST(ReadLine, ReadsLinesAndTheLastWithoutANewline) {
  std::istringstream in("one\n\ntwo");
  std::string line;
  EXPECT_EQ(ReadLine(in, 10, line), LineRead::kLine);
  EXPECT_EQ(line, "one");
  EXPECT_EQ(ReadLine(in, 10, line), LineRead::kLine);
  EXPECT_EQ(line, "");
  EXPECT_EQ(ReadLine(in, 10, line), LineRead::kLine);
  EXPECT_EQ(line, "two");
  EXPECT_EQ(ReadLine(in, 10, line), LineRead::kEnd);
}

TEST(ReadLine, ALineThatIsTooLongIsSkippedWhole) {
  std::istringstream in("123456\n12345\n123456789");
  std::string line;
  EXPECT_EQ(ReadLine(in, 5, line), LineRead::kTooLong);
  EXPECT_EQ(ReadLine(in, 5, line), LineRead::kLine);
  EXPECT_EQ(line, "12345");
  EXPECT_EQ(ReadLine(in, 5, line), LineRead::kTooLong);
  EXPECT_EQ(ReadLine(in, 5, line), LineRead::kEnd);
}

}  // namespace
}  // namespace attnd::client
