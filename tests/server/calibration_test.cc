// Goal: calibration texts are read as people write them, or refused by flag, file and reason; the
// tokenizer's ids keep to their lengths; a model too far from f32 is refused and says where.
// Method: files written by the test, and the tiny models' tokenizer.

#include "server/calibration.h"

#include <fstream>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/validate/wire.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace attnd {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using testing::TempDir;

absl::StatusOr<CalibrationTexts> Read(const std::string& content) {
  const TempDir dir;
  std::ofstream(dir / "texts.txt") << content;
  return CalibrationTexts::Read(dir / "texts.txt");
}

std::string ErrorOf(const std::string& content) {
  return std::string(Read(content).status().message());
}

std::string Repeat(const std::string& text, size_t times) {
  std::string result;
  for (size_t i = 0; i < times; ++i) result += text;
  return result;
}

std::unique_ptr<const Tokenizer> MakeTokenizer() {
  return *Tokenizer::Load(testing::TinyTokenizer());
}

TEST(CalibrationTextsTest, TheBuiltInOnesAreMany) {
  const CalibrationTexts texts = CalibrationTexts::BuiltIn();
  EXPECT_THAT(texts.texts(), SizeIs(40));
  EXPECT_THAT(std::set(texts.texts().begin(), texts.texts().end()), SizeIs(40));
  for (const std::string& text : texts.texts()) {
    EXPECT_TRUE(IsUtf8(text)) << text;
    EXPECT_THAT(text, Not(IsEmpty()));
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
  }
  EXPECT_EQ(texts.NameOf(30), "yes");
  EXPECT_EQ(texts.Describe(30), "built-in calibration text 31 (\"yes\")");
  // The longest is cut, and all is printable.
  EXPECT_THAT(texts.Describe(39), AllOf(HasSubstr("text 40 (\"The river"), HasSubstr("...")));
  EXPECT_THAT(texts.Describe(20), HasSubstr("\\303\\274ber"));
}

TEST(CalibrationTextsTest, AFileHasOneALine) {
  const auto texts = Read("one two\r\n\n  \t\nthree\n\xc3\xa9t\xc3\xa9");
  ASSERT_TRUE(texts.ok()) << texts.status();
  EXPECT_THAT(texts->texts(), ElementsAre("one two", "three", "\xc3\xa9t\xc3\xa9"));
  EXPECT_EQ(texts->NameOf(1), "line 4");
  EXPECT_THAT(texts->Describe(2), AllOf(HasSubstr("line 5 of /"), HasSubstr("texts.txt")));
}

TEST(CalibrationTextsTest, WhatIsWrongWithAFileIsSaidAndNothingOfItQuoted) {
  for (const char* few : {"", "\n\n\n\n", "canary\ncanary\n", "canary\n \ncanary"}) {
    EXPECT_THAT(ErrorOf(few),
                AllOf(HasSubstr("--calibration-texts: /"), HasSubstr("texts.txt: has "),
                      HasSubstr(" texts; at least 3"), Not(HasSubstr("canary"))));
  }
  EXPECT_THAT(ErrorOf("a\nb\ncanary\xff\nd\n"),
              AllOf(HasSubstr("texts.txt: line 3 is not UTF-8"), Not(HasSubstr("canary"))));
  EXPECT_THAT(ErrorOf("a\nb\nc\ncut \xc3"), HasSubstr("line 4 is not UTF-8"));
  const auto missing = CalibrationTexts::Read("/no/such/file");
  EXPECT_EQ(missing.status().message(),
            "--calibration-texts: /no/such/file: No such file or directory");
  EXPECT_THAT(std::string(CalibrationTexts::Read("/").status().message()),
              HasSubstr("--calibration-texts: /: Is a directory"));
}

TEST(CalibrationTextsTest, AFileIsNoLargerThanItsLimits) {
  EXPECT_TRUE(Read(Repeat("a\n", 4096)).ok());
  EXPECT_THAT(ErrorOf(Repeat("a\n", 4097)), HasSubstr("has more than 4096 lines"));
  EXPECT_THAT(ErrorOf(Repeat("\n", 4097)), HasSubstr("has more than 4096 lines"));
  const std::string three = "a\nb\n";
  EXPECT_TRUE(Read(three + std::string(kCalibrationBytesMax - three.size(), 'c')).ok());
  EXPECT_THAT(ErrorOf(three + std::string(kCalibrationBytesMax + 1 - three.size(), 'c')),
              HasSubstr("has more than 1048576 bytes"));
}

TEST(CalibrationInputsTest, TextsHaveTheirSpecialTokensAndAreCut) {
  const auto tokenizer = MakeTokenizer();
  const auto texts = Read("the cat\na b c d e f g\nthe\n");
  const auto inputs = Tokenize(*texts, *tokenizer, 6);
  ASSERT_TRUE(inputs.ok()) << inputs.status();
  ASSERT_THAT(inputs->ids, SizeIs(3));
  EXPECT_THAT(inputs->ids[0], ElementsAre(2, 83, 84, 3));
  EXPECT_THAT(inputs->ids[1], SizeIs(6));
  EXPECT_EQ(inputs->ids[1].front(), 2);
  EXPECT_EQ(inputs->ids[1].back(), 3);
  EXPECT_THAT(inputs->texts, ElementsAre(0, 1, 2));
  // However long the model's sequences.
  const auto longest = Tokenize(*Read(Repeat("a ", 1000) + "\nb\nc\n"), *tokenizer, 8192);
  EXPECT_THAT(longest->ids[0], SizeIs(256));
}

TEST(CalibrationInputsTest, ATextWithoutTokensIsLeftOut) {
  const auto tokenizer = MakeTokenizer();
  const std::string blank = "\xe3\x80\x80";  // An ideographic space.
  const auto inputs = Tokenize(*Read("a\n" + blank + "\nb\nc\n"), *tokenizer, 32);
  ASSERT_TRUE(inputs.ok()) << inputs.status();
  EXPECT_THAT(inputs->texts, ElementsAre(0, 2, 3));
  const auto few = Tokenize(*Read("a\n" + blank + "\nb\n"), *tokenizer, 32);
  EXPECT_EQ(few.status().message(),
            "--calibration-texts: the model's tokenizer gives tokens for 2 of 3 texts; at least 3 "
            "are wanted");
}

TEST(CalibrationInputsTest, ALengthThatHoldsNoTextIsRefused) {
  const auto status = Tokenize(CalibrationTexts::BuiltIn(), *MakeTokenizer(), 1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("built-in calibration text 1 ("));
}

TEST(CheckAccuracyTest, TheBoundIsTheLeastThatPasses) {
  const auto check = [](double cosine, double bound) {
    return CheckAccuracy({.inputs = 3, .cosine_min = cosine}, bound, "int8", "line 7 of texts.txt");
  };
  EXPECT_TRUE(check(0.99, 0.99).ok());
  EXPECT_TRUE(check(1, 1).ok());
  const absl::Status far = check(0.98765432, 0.99);
  EXPECT_EQ(far.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(far.message(),
            "--accuracy-min: in int8 the vector of line 7 of texts.txt has a cosine of 0.987654 to "
            "that in f32, below 0.99");
  EXPECT_FALSE(check(std::numeric_limits<double>::quiet_NaN(), 0).ok());
}

}  // namespace
}  // namespace attnd
