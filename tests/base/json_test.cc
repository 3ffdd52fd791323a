// Goal: untrusted JSON is either read as written or refused in one line that says why. Method: one
// small text for each rule, and typed reads of every kind with right and wrong values.
#include "core/base/json.h"

#include <utility>

#include "core/base/strings.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace attnd {
namespace {

using ::testing::HasSubstr;

std::string ErrorOf(std::string_view text) {
  const absl::StatusOr<nlohmann::json> json = ParseJson(text, "f.json");
  if (json.ok()) return "none";
  EXPECT_EQ(json.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(json.status().message().find('\n'), absl::string_view::npos);
  return std::string(json.status().message());
}

TEST(JsonTest, ReadsEveryKindOfValue) {
  const auto json = ParseJson(
      R"( {"a": [1, -2, 3.5, "x\u00e9", true, null, {}, []], "b": {"c": 18446744073709551615}} )",
      "f");
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ(json->dump(),
            "{\"a\":[1,-2,3.5,\"x\u00e9\",true,null,{},[]],\"b\":{\"c\":18446744073709551615}}");
  EXPECT_EQ(ParseJson("7", "f")->get<int>(), 7);
}

TEST(JsonTest, NestedArraysKeepTheirPlacesWhileTheirParentsGrow) {
  std::string text = "[";
  for (int i = 0; i < 100; ++i)
    text += StrCat(i == 0 ? "" : ",", "[", i, ",[", i, "],{\"k\":", i, "}]");
  text += "]";
  const auto json = ParseJson(text, "f");
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ(json->dump(), text);
}

TEST(JsonTest, MalformedTextIsRefusedWithItsPlace) {
  for (const char* text :
       {"", "{", "[1,]", "{\"a\" 1}", "nul", "{\"a\":1} x", "01", "\"\x01\"", "[1", "{'a':1}",
        "// c\n1", "NaN", "Infinity", "\"\xff\"", "\"\\ud800\""}) {
    EXPECT_THAT(ErrorOf(text), HasSubstr("f.json: is no valid JSON: parse error at line 1"))
        << text;
  }
}

TEST(JsonTest, ANumberThatNoDoubleHoldsIsRefused) {
  EXPECT_THAT(ErrorOf("[1e999]"), HasSubstr("f.json: is no valid JSON: "));
}

TEST(JsonTest, WhatFollowsANulByteIsNotOverlooked) {
  EXPECT_THAT(ErrorOf(std::string_view("{}\0{", 4)), HasSubstr("it holds a NUL byte"));
}

TEST(JsonTest, AKeyThatAppearsTwiceIsRefused) {
  EXPECT_EQ(ErrorOf(R"({"a": 1, "b": {"a": 1}, "a": 2})"), "f.json: key \"a\" appears twice");
  EXPECT_EQ(ErrorOf(R"([{"a": {"x": 1, "\u0078": 2}}])"), "f.json: key \"x\" appears twice");
}

TEST(JsonTest, DepthIsBounded) {
  const std::string deepest = std::string(kJsonDepthMax, '[') + std::string(kJsonDepthMax, ']');
  EXPECT_EQ(ErrorOf(deepest), "none");
  EXPECT_EQ(ErrorOf("[" + deepest + "]"), "f.json: is nested deeper than 64");
  EXPECT_EQ(ErrorOf(std::string(1'000'000, '[')), "f.json: is nested deeper than 64");
}

TEST(JsonTest, TheNumberOfValuesIsBounded) {
  std::string text = "[";
  for (size_t i = 0; i < kJsonValuesMax; ++i) text += "0,";
  text += "0]";
  EXPECT_EQ(ErrorOf(text), "f.json: has more than 1000000 values");
}

TEST(JsonTest, LongAndUnprintableTextIsCutInMessages) {
  EXPECT_LT(ErrorOf("\"" + std::string(100'000, 'x') + "\n").size(), 250u);
}

// Reads one field and returns the error, or "none".
template <typename Read>
std::string FieldError(std::string_view object, Read read) {
  const nlohmann::json json = *ParseJson(object, "f");
  JsonFields fields(json, "c.json");
  read(fields);
  return fields.status().ok() ? "none" : std::string(fields.status().message());
}

TEST(JsonFieldsTest, ReadsWhatIsThereAndFallsBackWhereAbsentOrNull) {
  const nlohmann::json json =
      *ParseJson(R"({"i": 5, "n": 2.5, "b": true, "s": "x", "z": null, "m": -3})", "f");
  JsonFields fields(json, "c.json");
  EXPECT_EQ(fields.Int("i", 0, 10), 5);
  EXPECT_EQ(fields.Int("m", -3, 10), -3);
  EXPECT_EQ(fields.IntOr("i", 0, 10, 7), 5);
  EXPECT_EQ(fields.IntOr("z", 0, 10, 7), 7);
  EXPECT_EQ(fields.IntOr("absent", 0, 10, 7), 7);
  EXPECT_EQ(fields.Number("n", 0, 10), 2.5);
  EXPECT_EQ(fields.Number("i", 0, 10), 5);
  EXPECT_EQ(fields.NumberOr("z", 0, 10, 0.5), 0.5);
  EXPECT_TRUE(fields.BoolOr("b", false));
  EXPECT_FALSE(fields.BoolOr("z", false));
  EXPECT_EQ(fields.String("s"), "x");
  EXPECT_EQ(fields.StringOr("z", "y"), "y");
  EXPECT_TRUE(fields.Has("i"));
  EXPECT_FALSE(fields.Has("z"));
  EXPECT_FALSE(fields.Has("absent"));
  EXPECT_TRUE(fields.status().ok()) << fields.status();
}

TEST(JsonFieldsTest, AMissingFieldIsNamed) {
  EXPECT_EQ(FieldError("{}", [](JsonFields& f) { f.Int("i", 0, 1); }), "c.json: i is missing");
  EXPECT_EQ(FieldError("{}", [](JsonFields& f) { f.Number("n", 0, 1); }), "c.json: n is missing");
  EXPECT_EQ(FieldError("{\"s\":null}", [](JsonFields& f) { f.String("s"); }),
            "c.json: s is missing");
}

TEST(JsonFieldsTest, OnlyWholeNumbersInRangeAreInts) {
  const auto read = [](JsonFields& f) { EXPECT_EQ(f.Int("i", 1, 10), 1); };
  for (const auto& [value, shown] : {std::pair("0", "0"),
                                     {"11", "11"},
                                     {"-1", "-1"},
                                     {"12.0", "12.0"},
                                     {"\"5\"", "\\\"5\\\""},
                                     {"true", "true"},
                                     {"18446744073709551615", "18446744073709551615"},
                                     {"1e3", "1000.0"},
                                     {"[]", "an array"},
                                     {"{}", "an object"}}) {
    EXPECT_EQ(FieldError(StrCat("{\"i\":", value, "}"), read),
              StrCat("c.json: i is ", shown, "; a whole number from 1 to 10 is wanted"));
  }
}

TEST(JsonFieldsTest, OtherTypesAreNamedWithWhatIsWanted) {
  EXPECT_EQ(FieldError(R"({"n": 2})", [](JsonFields& f) { f.NumberOr("n", 0, 1, 0); }),
            "c.json: n is 2; a number from 0 to 1 is wanted");
  EXPECT_EQ(FieldError(R"({"n": "x"})", [](JsonFields& f) { f.Number("n", 0, 1); }),
            "c.json: n is \\\"x\\\"; a number from 0 to 1 is wanted");
  EXPECT_EQ(FieldError(R"({"b": 1})", [](JsonFields& f) { f.BoolOr("b", false); }),
            "c.json: b is 1; true or false is wanted");
  EXPECT_EQ(FieldError(R"({"s": 1})", [](JsonFields& f) { f.StringOr("s", ""); }),
            "c.json: s is 1; a string is wanted");
}

TEST(JsonFieldsTest, TheFirstErrorIsKept) {
  EXPECT_EQ(FieldError(R"({"a": 1, "b": 2})",
                       [](JsonFields& f) {
                         f.Int("a", 1, 1);
                         f.Fail("a", "is first");
                         f.Int("b", 0, 1);
                         f.Fail("c", "is third");
                       }),
            "c.json: a is first");
}

TEST(JsonFieldsTest, AnythingButAnObjectIsAnError) {
  EXPECT_EQ(FieldError("[]", [](JsonFields& f) { f.Int("a", 0, 1); }),
            "c.json: is an array, not an object");
  EXPECT_EQ(FieldError("3", [](JsonFields& f) { f.BoolOr("a", true); }),
            "c.json: is 3, not an object");
}

}  // namespace
}  // namespace attnd
