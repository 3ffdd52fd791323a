// Goal: every option of Tokenizer::Encode, and Decode, does what the header says. Method: a small
// BERT tokenizer in tests/data; expected values are written out, or come from a naive rule in this
// file.
#include "core/input/tokenizer.h"

#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/input/tokenizer_fixture.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Offset = Tokenized::Offset;

constexpr int32_t kCls = 2, kSep = 3;

class TokenizerTest : public ::testing::Test {
 protected:
  Tokenized Encode(std::string_view text, const TokenizeOptions& options = {}) {
    return EncodePair(text, std::nullopt, options);
  }
  Tokenized EncodePair(std::string_view text, std::optional<std::string_view> pair,
                       const TokenizeOptions& options = {}) {
    auto encoded = tokenizer_->Encode(text, pair, options);
    EXPECT_TRUE(encoded.ok()) << encoded.status();
    return encoded.ok() ? *std::move(encoded) : Tokenized{};
  }
  // `count` tokens, each one letter.
  static std::string Letters(int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += {static_cast<char>('a' + i % 26), ' '};
    return text;
  }

  std::unique_ptr<const Tokenizer> tokenizer_ = LoadOrFail(BertJson());
};

TEST_F(TokenizerTest, ATextBecomesParallelArrays) {
  const Tokenized encoded = Encode("The list, or");
  EXPECT_THAT(encoded.strings, ElementsAre("[CLS]", "the", "list", ",", "or", "[SEP]"));
  EXPECT_EQ(encoded.ids.front(), kCls);
  EXPECT_EQ(encoded.ids.back(), kSep);
  EXPECT_THAT(encoded.types, ElementsAre(0, 0, 0, 0, 0, 0));
  EXPECT_THAT(encoded.offsets, ElementsAre(Offset{0, 0}, Offset{0, 3}, Offset{4, 8}, Offset{8, 9},
                                           Offset{10, 12}, Offset{0, 0}));
  EXPECT_THAT(encoded.text_indices, ElementsAre(-1, 0, 0, 0, 0, -1));
  EXPECT_THAT(encoded.special, ElementsAre(1, 0, 0, 0, 0, 1));
  EXPECT_FALSE(encoded.truncated);
  EXPECT_EQ(encoded.length_before_truncation, 6);
  for (size_t i = 0; i < encoded.ids.size(); ++i) {
    EXPECT_EQ(tokenizer_->TokenOf(encoded.ids[i]), encoded.strings[i]);
  }
}

TEST_F(TokenizerTest, AnEmptyOrBlankTextIsTheSpecialTokensAlone) {
  EXPECT_THAT(Encode("").ids, ElementsAre(kCls, kSep));
  EXPECT_THAT(Encode(std::string_view()).ids, ElementsAre(kCls, kSep));
  EXPECT_THAT(Encode(" \t\n").ids, ElementsAre(kCls, kSep));
  EXPECT_THAT(Encode("", {.add_special_tokens = false}).ids, ElementsAre());
}

TEST_F(TokenizerTest, SpecialTokensCanBeLeftOut) {
  const Tokenized encoded = Encode("the list", {.add_special_tokens = false});
  EXPECT_THAT(encoded.strings, ElementsAre("the", "list"));
  EXPECT_THAT(encoded.special, ElementsAre(0, 0));
  EXPECT_THAT(encoded.text_indices, ElementsAre(0, 0));
  EXPECT_THAT(encoded.types, ElementsAre(0, 0));
}

TEST_F(TokenizerTest, APairHasTypesAndTextIndices) {
  const Tokenized encoded = EncodePair("the", "a list");
  EXPECT_THAT(encoded.strings, ElementsAre("[CLS]", "the", "[SEP]", "a", "list", "[SEP]"));
  EXPECT_THAT(encoded.types, ElementsAre(0, 0, 0, 1, 1, 1));
  EXPECT_THAT(encoded.text_indices, ElementsAre(-1, 0, -1, 1, 1, -1));
  EXPECT_THAT(encoded.special, ElementsAre(1, 0, 1, 0, 0, 1));
  EXPECT_EQ(encoded.offsets[3], (Offset{0, 1}));
  EXPECT_EQ(encoded.offsets[4], (Offset{2, 6}));
  EXPECT_THAT(EncodePair("the", "a list", {.add_special_tokens = false}).types,
              ElementsAre(0, 1, 1));
}

TEST_F(TokenizerTest, AnEmptySecondTextIsNoPairButAnEmptyFirstIs) {
  EXPECT_EQ(EncodePair("the", "").ids, Encode("the").ids);
  EXPECT_THAT(EncodePair("", "the").strings, ElementsAre("[CLS]", "[SEP]", "the", "[SEP]"));
  EXPECT_THAT(EncodePair("", "the").text_indices, ElementsAre(-1, -1, 1, -1));
}

// "xyxy" is not in the vocabulary, so it comes in pieces.
TEST_F(TokenizerTest, WordsAreCountedInEachTextAndHoldTheirPieces) {
  const Tokenized encoded = EncodePair("xyxy, a", "b xyxy");
  std::vector<int32_t> words;
  for (size_t i = 0; i < encoded.ids.size(); ++i) {
    const int32_t word = encoded.word_ids[i];
    EXPECT_EQ(word == -1, encoded.special[i] == 1) << i;
    if (encoded.strings[i].starts_with("##")) {
      EXPECT_EQ(word, encoded.word_ids[i - 1]) << encoded.strings[i];
    } else if (word >= 0) {
      words.push_back(word);
    }
  }
  EXPECT_THAT(words, ElementsAre(0, 1, 2, 0, 1));   // xyxy , a | b xyxy
  EXPECT_GT(encoded.ids.size(), words.size() + 3);  // There are pieces.
}

TEST_F(TokenizerTest, WordsKeepTheirNumbersWhenTheTextIsCut) {
  const Tokenized left = Encode("a b c d e", {.truncation = Truncation::kLeft, .length_max = 5});
  EXPECT_THAT(left.word_ids, ElementsAre(-1, 2, 3, 4, -1));
  EXPECT_THAT(Encode("a b", {.add_special_tokens = false}).word_ids, ElementsAre(0, 1));
}

TEST_F(TokenizerTest, StringsAndOffsetsAreLeftOutUnlessAskedFor) {
  const Tokenized full = EncodePair("the list", "of \U0001F600");
  const Tokenized lean = EncodePair("the list", "of \U0001F600", {.return_strings = false});
  EXPECT_EQ(lean.ids, full.ids);
  EXPECT_EQ(lean.types, full.types);
  EXPECT_EQ(lean.text_indices, full.text_indices);
  EXPECT_EQ(lean.special, full.special);
  EXPECT_TRUE(lean.strings.empty());
  EXPECT_TRUE(lean.offsets.empty());
  EXPECT_TRUE(lean.word_ids.empty());
}

// "é" is decomposed: e and U+0301. The emoji is one code point, two UTF-16 units, four bytes; "ß"
// is two bytes.
TEST_F(TokenizerTest, OffsetsCountInTheUnitAskedFor) {
  constexpr std::string_view kText = "\U0001F600 e\u0301 \u00DF\U0001F469\u200D\U0001F4BB x";
  const auto offsets = [&](OffsetUnit unit) {
    return Encode(kText, {.add_special_tokens = false, .offset_unit = unit}).offsets;
  };
  const Tokenized encoded = Encode(kText, {.add_special_tokens = false});
  ASSERT_THAT(encoded.strings, ElementsAre("\U0001F600", "e", "[UNK]", "x"));
  EXPECT_THAT(offsets(OffsetUnit::kCodePoint),
              ElementsAre(Offset{0, 1}, Offset{2, 3}, Offset{5, 9}, Offset{10, 11}));
  EXPECT_THAT(offsets(OffsetUnit::kByte),
              ElementsAre(Offset{0, 4}, Offset{5, 6}, Offset{9, 22}, Offset{23, 24}));
  EXPECT_THAT(offsets(OffsetUnit::kUtf16),
              ElementsAre(Offset{0, 2}, Offset{3, 4}, Offset{6, 12}, Offset{13, 14}));
}

TEST_F(TokenizerTest, OffsetsOfAPairPointIntoTheirOwnText) {
  const Tokenized encoded = EncodePair("\U0001F600 a", "\u00DF\U0001F600\U0001F600 b",
                                       {.offset_unit = OffsetUnit::kUtf16});
  ASSERT_THAT(encoded.text_indices, ElementsAre(-1, 0, 0, -1, 1, 1, -1));
  EXPECT_THAT(encoded.offsets, ElementsAre(Offset{0, 0}, Offset{0, 2}, Offset{3, 4}, Offset{0, 0},
                                           Offset{0, 5}, Offset{6, 7}, Offset{0, 0}));
}

TEST_F(TokenizerTest, TooManyTokensAreAnErrorThatNamesBothNumbers) {
  const auto encoded = tokenizer_->Encode(Letters(20), std::nullopt, {.length_max = 21});
  EXPECT_EQ(encoded.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(encoded.status().message(), "has 22 tokens, more than the maximum length 21");
  EXPECT_EQ(ReasonOf(encoded.status()), TokenizeFailure::kTooLong);
  EXPECT_EQ(Encode(Letters(20), {.length_max = 22}).ids.size(), 22u);
}

TEST_F(TokenizerTest, TruncationKeepsTheSpecialTokensAndOneEndOfTheText) {
  const Tokenized right = Encode("a b c d e", {.truncation = Truncation::kRight, .length_max = 5});
  EXPECT_THAT(right.strings, ElementsAre("[CLS]", "a", "b", "c", "[SEP]"));
  EXPECT_TRUE(right.truncated);
  EXPECT_EQ(right.length_before_truncation, 7);
  EXPECT_EQ(right.offsets[3], (Offset{4, 5}));

  const Tokenized left = Encode("a b c d e", {.truncation = Truncation::kLeft, .length_max = 5});
  EXPECT_THAT(left.strings, ElementsAre("[CLS]", "c", "d", "e", "[SEP]"));
  EXPECT_THAT(left.text_indices, ElementsAre(-1, 0, 0, 0, -1));
  EXPECT_EQ(left.offsets[1], (Offset{4, 5}));

  EXPECT_THAT(
      Encode("a b c d e",
             {.add_special_tokens = false, .truncation = Truncation::kRight, .length_max = 2})
          .strings,
      ElementsAre("a", "b"));
}

TEST_F(TokenizerTest, ALimitThatOnlyTheSpecialTokensMeetLeavesThemAlone) {
  for (const Truncation truncation : {Truncation::kLeft, Truncation::kRight}) {
    EXPECT_THAT(Encode("a b", {.truncation = truncation, .length_max = 2}).ids,
                ElementsAre(kCls, kSep));
    const auto refused =
        tokenizer_->Encode("a b", std::nullopt, {.truncation = truncation, .length_max = 1});
    EXPECT_EQ(refused.status().message(),
              "cannot be cut to the maximum length 1: 2 tokens are special");
    EXPECT_EQ(ReasonOf(refused.status()), TokenizeFailure::kTooLong);
  }
  EXPECT_EQ(tokenizer_->Encode("a", std::nullopt, {.length_max = 0}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(tokenizer_->Encode("a", std::nullopt, {.length_max = -1}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// Naive: take a token from the longer text until the pair fits; of equal ones from that which began
// shorter.
TEST_F(TokenizerTest, APairLosesTokensFromTheLongerTextFirst) {
  for (int first = 1; first <= 9; ++first) {
    for (int second = 1; second <= 9; ++second) {
      for (int limit = 3; limit <= 16; ++limit) {
        int first_kept = first;
        int second_kept = second;
        while (first_kept + second_kept + 3 > limit) {
          const bool from_first =
              first_kept > second_kept || (first_kept == second_kept && first <= second);
          --(from_first ? first_kept : second_kept);
        }
        const Tokenized encoded =
            EncodePair(Letters(first), Letters(second),
                       {.truncation = Truncation::kRight, .length_max = limit});
        int counted[2] = {};
        for (const int32_t index : encoded.text_indices) {
          if (index >= 0) ++counted[index];
        }
        ASSERT_EQ(counted[0], first_kept) << first << ", " << second << " to " << limit;
        ASSERT_EQ(counted[1], second_kept) << first << ", " << second << " to " << limit;
        ASSERT_EQ(encoded.truncated, first + second + 3 > limit);
      }
    }
  }
}

TEST_F(TokenizerTest, OneTextOfAPairCanBeChosenToLoseTokens) {
  const auto strings = [&](PairTruncation which, int32_t limit) {
    return EncodePair(
               "a b c", "d e",
               {.truncation = Truncation::kRight, .pair_truncation = which, .length_max = limit})
        .strings;
  };
  EXPECT_THAT(strings(PairTruncation::kFirst, 6),
              ElementsAre("[CLS]", "a", "[SEP]", "d", "e", "[SEP]"));
  EXPECT_THAT(strings(PairTruncation::kSecond, 7),
              ElementsAre("[CLS]", "a", "b", "c", "[SEP]", "d", "[SEP]"));
  const auto refused = tokenizer_->Encode("a b c", "d e",
                                          {.truncation = Truncation::kRight,
                                           .pair_truncation = PairTruncation::kSecond,
                                           .length_max = 6});
  EXPECT_EQ(refused.status().message(),
            "cannot be cut to the maximum length 6: the text to cut is too short");
  // A text alone is the one to cut, whatever is said about pairs.
  EXPECT_THAT(Encode("a b", {.truncation = Truncation::kRight,
                             .pair_truncation = PairTruncation::kSecond,
                             .length_max = 3})
                  .strings,
              ElementsAre("[CLS]", "a", "[SEP]"));
}

TEST_F(TokenizerTest, TruncationAndPaddingOfTheFileAreSwitchedOff) {
  nlohmann::json json = nlohmann::json::parse(BertJson());
  json["truncation"] = nlohmann::json::parse(
      R"({"max_length": 3, "stride": 0, "strategy": "LongestFirst", "direction": "Right"})");
  json["padding"] = nlohmann::json::parse(R"({"strategy": {"Fixed": 128}, "direction": "Right",
      "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]", "pad_to_multiple_of": null})");
  const auto tokenizer = LoadOrFail(json.dump());
  ASSERT_NE(tokenizer, nullptr);
  const auto encoded = tokenizer->Encode(Letters(9), std::nullopt, {});
  ASSERT_TRUE(encoded.ok()) << encoded.status();
  EXPECT_EQ(encoded->ids, Encode(Letters(9)).ids);
}

TEST_F(TokenizerTest, TextThatIsNotUtf8IsRefusedWithThePosition) {
  const std::pair<std::string, int> kTexts[] = {
      {"\xff", 0},
      {"abc\xc0\x80", 3},                  // Overlong.
      {"\xe2\x82", 0},                     // Cut.
      {"ab\xed\xa0\x80", 2},               // Surrogate.
      {"\xf4\x90\x80\x80", 0},             // Above U+10FFFF.
      {std::string("\0\xf0\x9f", 3), 1}};  // After a NUL, which is legal.
  for (const auto& [text, position] : kTexts) {
    const std::string at = " that is not UTF-8 at byte " + std::to_string(position);
    const absl::Status first = tokenizer_->Encode(text, std::nullopt, {}).status();
    EXPECT_EQ(first.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(first.message(), "has a text" + at);
    EXPECT_EQ(ReasonOf(first), TokenizeFailure::kNotUtf8);
    EXPECT_EQ(tokenizer_->Encode("a", text, {}).status().message(), "has a second text" + at);
  }
  EXPECT_EQ(ReasonOf(absl::OkStatus()), TokenizeFailure::kNone);
  EXPECT_EQ(ReasonOf(absl::InternalError("x")), TokenizeFailure::kOther);
}

TEST_F(TokenizerTest, SpecialTokensInTheTextAreMatchedButCountAsText) {
  const Tokenized encoded = Encode("a [SEP] b");
  EXPECT_THAT(encoded.strings, ElementsAre("[CLS]", "a", "[SEP]", "b", "[SEP]"));
  EXPECT_THAT(encoded.special, ElementsAre(1, 0, 0, 0, 1));
  EXPECT_THAT(encoded.word_ids, ElementsAre(-1, 0, 1, 2, -1));
  EXPECT_EQ(encoded.offsets[2], (Offset{2, 7}));
}

TEST_F(TokenizerTest, DecodeGivesTheTextBack) {
  const std::vector<int32_t> ids = Encode("The list, or").ids;
  EXPECT_EQ(*tokenizer_->Decode(ids, true), "the list, or");
  EXPECT_EQ(*tokenizer_->Decode(ids, false), "[CLS] the list, or [SEP]");
  EXPECT_EQ(*tokenizer_->Decode({}, true), "");
}

TEST_F(TokenizerTest, IdsOutsideTheVocabularyAreNamed) {
  EXPECT_EQ(tokenizer_->id_end(), 1000);
  EXPECT_EQ(tokenizer_->vocabulary_size(), 1000);
  for (const int32_t id : {-1, 1000, INT32_MAX, INT32_MIN}) {
    EXPECT_EQ(tokenizer_->TokenOf(id), std::nullopt);
    const absl::Status status = tokenizer_->Decode(std::vector<int32_t>{2, id}, false).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("ids[1] is " + std::to_string(id)));
  }
  EXPECT_EQ(tokenizer_->TokenOf(kCls), "[CLS]");
}

TEST_F(TokenizerTest, ATokenHasItsId) {
  EXPECT_EQ(tokenizer_->IdOf("[CLS]"), kCls);
  EXPECT_EQ(tokenizer_->IdOf(*tokenizer_->TokenOf(999)), 999);
  for (const std::string& none :
       std::vector<std::string>{"", "no such token", "[cls]", "\xff", std::string("[CLS]\0", 6)}) {
    EXPECT_EQ(tokenizer_->IdOf(none), std::nullopt);
  }
}

TEST_F(TokenizerTest, ManyThreadsGetTheSameAnswers) {
  constexpr int kThreads = 8, kTexts = 200;
  std::vector<std::string> texts;
  for (int i = 0; i < kTexts; ++i) texts.push_back(Letters(i) + "caf\u00E9 \U0001F600 returns");
  const TokenizeOptions options{.truncation = Truncation::kLeft, .length_max = 64};
  std::vector<std::vector<std::vector<int32_t>>> ids(kThreads);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (const std::string& text : texts) {
        auto encoded = tokenizer_->Encode(text, std::nullopt, options);
        ids[thread].push_back(encoded.ok() ? std::move(encoded->ids) : std::vector<int32_t>{});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < kTexts; ++i) {
    const std::vector<int32_t> expected = Encode(texts[i], options).ids;
    for (int thread = 0; thread < kThreads; ++thread) EXPECT_EQ(ids[thread][i], expected);
  }
}

}  // namespace
}  // namespace attnd
