// Goal: lengths and sentences are counted in the unit asked for, and a prompt leaves no trace in
// the offsets. Method: texts with code points of every width, sentences written out by hand and cut
// out of the text by their offsets.

#include "server/represent/text.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Sentences(const std::string& text) {
  std::vector<std::string> sentences;
  for (const TextRange& range : SplitSentences(text, OffsetUnit::kByte, 0)) {
    sentences.push_back(text.substr(range.start, range.end - range.start));
  }
  return sentences;
}

TEST(TextTest, LengthsAreInTheUnitAskedFor) {
  const std::string text = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80";  // a, e acute, euro, a face
  EXPECT_EQ(TextLength(text, OffsetUnit::kByte), 10);
  EXPECT_EQ(TextLength(text, OffsetUnit::kCodePoint), 4);
  EXPECT_EQ(TextLength(text, OffsetUnit::kUtf16), 5);
  EXPECT_EQ(TextLength("", OffsetUnit::kByte), 0);
}

TEST(TextTest, ACursorStaysWithinBytesThatAreNoUtf8) {
  for (const std::string text : {"\xF0", "a\xE2\x82", "\xFF\xFF", "\x80"}) {
    EXPECT_EQ(TextLength(text, OffsetUnit::kByte), static_cast<int32_t>(text.size()));
    TextCursor cursor(text, OffsetUnit::kCodePoint);
    for (; !cursor.AtEnd(); cursor.Advance()) cursor.Peek();
  }
}

TEST(TextTest, ACursorSeesEachCodePoint) {
  TextCursor cursor("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", OffsetUnit::kUtf16);
  for (const char32_t expected : {U'a', U'\u00E9', U'\u20AC', U'\U0001F600'}) {
    EXPECT_EQ(cursor.Peek(), expected);
    cursor.Advance();
  }
  EXPECT_TRUE(cursor.AtEnd());
}

TEST(SentenceTest, StopsBeforeABlankEndASentence) {
  EXPECT_THAT(Sentences("One. Two!  Three? Four"), ElementsAre("One.", "Two!", "Three?", "Four"));
  EXPECT_THAT(Sentences("  One...\tTwo?!\n"), ElementsAre("One...", "Two?!"));
  EXPECT_THAT(Sentences("Wait\u2026 what"), ElementsAre("Wait\u2026", "what"));
  EXPECT_THAT(Sentences("3.14 and a.b are one"), ElementsAre("3.14 and a.b are one"));
  EXPECT_THAT(Sentences("a\u00A0b.\u3000c"), ElementsAre("a\u00A0b.", "c"));
}

TEST(SentenceTest, ClosingQuotesAndBracketsBelongToTheirSentence) {
  EXPECT_THAT(Sentences("(He left.) \"Why?\" \u201CNo.\u201D [1.]) x"),
              ElementsAre("(He left.)", "\"Why?\"", "\u201CNo.\u201D", "[1.])", "x"));
  EXPECT_THAT(Sentences("a) b. c"), ElementsAre("a) b.", "c"));
}

TEST(SentenceTest, CjkStopsNeedNoBlank) {
  EXPECT_THAT(Sentences("\u4F60\u597D\u3002\u518D\u89C1\uFF01\uFF1F\u300C\u597D\u3002\u300D\u662F"),
              ElementsAre("\u4F60\u597D\u3002", "\u518D\u89C1\uFF01\uFF1F",
                          "\u300C\u597D\u3002\u300D", "\u662F"));
  EXPECT_THAT(Sentences("a\u3002! b"), ElementsAre("a\u3002!", "b"));
}

TEST(SentenceTest, BlankLinesEndASentenceAndSingleLineBreaksDoNot) {
  EXPECT_THAT(Sentences("A title\n\nbegins\nhere\r\n \r\nand ends"),
              ElementsAre("A title", "begins\nhere", "and ends"));
}

TEST(SentenceTest, ATextWithoutAnyHasNone) {
  EXPECT_THAT(Sentences(""), IsEmpty());
  EXPECT_THAT(Sentences(" \n\n\t"), IsEmpty());
  EXPECT_THAT(Sentences("."), ElementsAre("."));
}

TEST(SentenceTest, OffsetsAreInTheUnitAskedFor) {
  const std::string text = "\xF0\x9F\x98\x80. b\xC3\xA9.";
  EXPECT_THAT(SplitSentences(text, OffsetUnit::kByte, 1),
              ElementsAre(TextRange{0, 5, 1}, TextRange{6, 10, 1}));
  EXPECT_THAT(SplitSentences(text, OffsetUnit::kCodePoint, 0),
              ElementsAre(TextRange{0, 2, 0}, TextRange{3, 6, 0}));
  EXPECT_THAT(SplitSentences(text, OffsetUnit::kUtf16, 0),
              ElementsAre(TextRange{0, 3, 0}, TextRange{4, 7, 0}));
}

TEST(PromptTest, OffsetsAndWordsAreThoseOfTheTextAlone) {
  // [CLS] "ab" ":" "cd" "ef" [SEP] of the prompt "ab:c" and the text "d ef".
  Tokenized tokens;
  tokens.offsets = {{0, 0}, {0, 2}, {2, 3}, {3, 5}, {6, 8}, {0, 0}};
  tokens.text_indices = {-1, 0, 0, 0, 0, -1};
  tokens.special = {1, 0, 0, 0, 0, 1};
  tokens.word_ids = {-1, 0, 1, 2, 3, -1};
  EXPECT_EQ(FirstWordBehindPrompt(4, tokens), 2);
  EXPECT_EQ(FirstWordBehindPrompt(8, tokens), 0);  // The text is empty.
  RemovePrompt(4, 2, tokens);
  using Offset = Tokenized::Offset;
  EXPECT_THAT(tokens.offsets, ElementsAre(Offset{0, 0}, Offset{0, 0}, Offset{0, 0}, Offset{0, 1},
                                          Offset{2, 4}, Offset{0, 0}));
  EXPECT_THAT(tokens.text_indices, ElementsAre(-1, -1, -1, 0, 0, -1));
  EXPECT_THAT(tokens.word_ids, ElementsAre(-1, -1, -1, 0, 1, -1));
  EXPECT_THAT(tokens.special, ElementsAre(1, 0, 0, 0, 0, 1));
}

TEST(PromptTest, TokensWithoutOffsetsStayAsTheyAre) {
  Tokenized tokens;
  tokens.ids = {5, 6};
  tokens.text_indices = {0, 0};
  EXPECT_EQ(FirstWordBehindPrompt(3, tokens), 0);
  RemovePrompt(3, 0, tokens);
  EXPECT_THAT(tokens.text_indices, ElementsAre(0, 0));
}

}  // namespace
}  // namespace attnd
