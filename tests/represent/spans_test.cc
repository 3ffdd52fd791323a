// Goal: each span has the tokens that its kind says, and its vector is theirs, pooled. Method:
// tokens written by hand, and random ones against naive loops over every token.

#include "server/represent/spans.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// [CLS] he llo wor ld [SEP] the cat [SEP], of the texts "hello world" and "the cat".
Tokenized Pair() {
  Tokenized tokens;
  tokens.ids = {2, 10, 11, 12, 13, 3, 14, 15, 3};
  tokens.offsets = {{0, 0}, {0, 2}, {2, 5}, {6, 9}, {9, 11}, {0, 0}, {0, 3}, {4, 7}, {0, 0}};
  tokens.text_indices = {-1, 0, 0, 0, 0, -1, 1, 1, -1};
  tokens.word_ids = {-1, 0, 0, 1, 1, -1, 0, 1, -1};
  return tokens;
}

TEST(WordSpanTest, AWordIsItsTokensInItsText) {
  EXPECT_THAT(WordSpans(Pair()),
              ElementsAre(TokenSpan{{0, 5, 0}, 1, 3}, TokenSpan{{6, 11, 0}, 3, 5},
                          TokenSpan{{0, 3, 1}, 6, 7}, TokenSpan{{4, 7, 1}, 7, 8}));
}

TEST(WordSpanTest, EqualNumbersInTwoTextsAreTwoWords) {
  Tokenized tokens;
  tokens.ids = {10, 11};
  tokens.offsets = {{0, 1}, {0, 1}};
  tokens.text_indices = {0, 1};
  tokens.word_ids = {0, 0};
  EXPECT_EQ(WordSpans(tokens).size(), 2u);
}

TEST(ChunkSpanTest, ChunksAreRunsOfOneTextAndNoneLiesWithinAnother) {
  EXPECT_THAT(ChunkSpans(Pair(), {.tokens = 3}),
              ElementsAre(TokenSpan{{0, 9, 0}, 1, 4}, TokenSpan{{9, 11, 0}, 4, 5},
                          TokenSpan{{0, 7, 1}, 6, 8}));
  EXPECT_THAT(ChunkSpans(Pair(), {.tokens = 3, .overlap = 2}),
              ElementsAre(TokenSpan{{0, 9, 0}, 1, 4}, TokenSpan{{2, 11, 0}, 2, 5},
                          TokenSpan{{0, 7, 1}, 6, 8}));
  EXPECT_THAT(ChunkSpans(5, {.tokens = 2}),
              ElementsAre(TokenSpan{{0, 0, -1}, 0, 2}, TokenSpan{{0, 0, -1}, 2, 4},
                          TokenSpan{{0, 0, -1}, 4, 5}));
  EXPECT_THAT(ChunkSpans(1, {.tokens = 1'000'000'000, .overlap = 999'999'999}),
              ElementsAre(TokenSpan{{0, 0, -1}, 0, 1}));
}

TEST(ChunkSpanTest, SpecialTokensAloneHaveNone) {
  Tokenized tokens;
  tokens.ids = {2, 3};
  tokens.offsets.resize(2);
  tokens.text_indices = {-1, -1};
  tokens.word_ids = {-1, -1};
  EXPECT_THAT(ChunkSpans(tokens, {.tokens = 1}), IsEmpty());
  EXPECT_THAT(WordSpans(tokens), IsEmpty());
  EXPECT_THAT(RangeSpans(tokens, {}), IsEmpty());
}

TEST(RangeSpanTest, ATokenBelongsToEveryRangeThatItOverlaps) {
  const std::vector<TextRange> ranges = {{0, 11, 0}, {1, 2, 0}, {2, 7, 0}, {5, 6, 0},
                                         {0, 4, 1},  {4, 5, 1}, {3, 4, 1}};
  EXPECT_THAT(RangeSpans(Pair(), ranges),
              ElementsAre(TokenSpan{{0, 11, 0}, 1, 5}, TokenSpan{{1, 2, 0}, 1, 2},
                          TokenSpan{{2, 7, 0}, 2, 4}, TokenSpan{{5, 6, 0}, 3, 3},
                          TokenSpan{{0, 4, 1}, 6, 7}, TokenSpan{{4, 5, 1}, 7, 8},
                          TokenSpan{{3, 4, 1}, 7, 7}));
}

TEST(RangeSpanTest, RandomRangesAgreeWithALookAtEachToken) {
  std::mt19937 random(1);
  const auto draw = [&](int32_t least, int32_t most) {
    return std::uniform_int_distribution<int32_t>(least, most)(random);
  };
  for (int round = 0; round < 500; ++round) {
    Tokenized tokens;
    for (int32_t text = 0; text < 2; ++text) {
      tokens.text_indices.push_back(-1);
      tokens.offsets.push_back({0, 0});
      int32_t at = 0;
      for (int32_t i = draw(0, 9); i > 0; --i) {
        at += draw(0, 2);
        const int32_t end = at + draw(1, 3);
        tokens.offsets.push_back({at, end});
        tokens.text_indices.push_back(text);
        at = end;
      }
    }
    tokens.ids.resize(tokens.offsets.size());
    const int32_t start = draw(0, 30);
    const TextRange range{.start = start, .end = start + draw(1, 9), .text_index = draw(0, 1)};
    std::vector<int32_t> expected;
    for (size_t i = 0; i < tokens.offsets.size(); ++i) {
      if (tokens.text_indices[i] == range.text_index && tokens.offsets[i].start < range.end &&
          tokens.offsets[i].end > range.start) {
        expected.push_back(static_cast<int32_t>(i));
      }
    }
    const TokenSpan span = RangeSpans(tokens, std::vector<TextRange>{range})[0];
    std::vector<int32_t> found;
    for (int32_t i = span.first_token; i < span.end_token; ++i) found.push_back(i);
    ASSERT_EQ(found, expected);
  }
}

TEST(PoolSpansTest, VectorsAreTheFirstDimensionsPooledByNaiveLoops) {
  constexpr int64_t kRows = 7, kHidden = 6, kDimensions = 4;
  std::mt19937 random(2);
  std::vector<float> rows(kRows * kHidden);
  for (float& value : rows) value = std::normal_distribution<float>()(random);
  const std::vector<TokenSpan> spans = {{{}, 0, 7}, {{}, 2, 5}, {{}, 6, 7}, {{}, 3, 3}, {{}, 2, 4}};
  for (const Pooling pooling : {Pooling::kMean, Pooling::kMax, Pooling::kCls, Pooling::kLast}) {
    for (const bool normalize : {false, true}) {
      const std::vector<float> vectors =
          PoolSpans({rows.data(), kRows, kDimensions, kHidden}, spans,
                    {.pooling = pooling, .normalize = normalize});
      ASSERT_EQ(vectors.size(), spans.size() * kDimensions);
      for (size_t s = 0; s < spans.size(); ++s) {
        double expected[kDimensions] = {};
        double squares = 0;
        for (int64_t column = 0; column < kDimensions; ++column) {
          const auto at = [&](int32_t row) { return double{rows[row * kHidden + column]}; };
          const auto [range, first, end] = spans[s];
          double value = 0;
          for (int32_t row = first; row < end; ++row) {
            if (pooling == Pooling::kMean) value += at(row) / (end - first);
            if (pooling == Pooling::kMax) value = row == first ? at(row) : std::max(value, at(row));
            if (pooling == Pooling::kCls && row == first) value = at(row);
            if (pooling == Pooling::kLast) value = at(row);
          }
          expected[column] = value;
          squares += value * value;
        }
        const double scale = normalize && squares > 0 ? 1 / std::sqrt(squares) : 1;
        for (int64_t column = 0; column < kDimensions; ++column) {
          EXPECT_NEAR(vectors[s * kDimensions + column], expected[column] * scale, 1e-6);
        }
      }
    }
  }
}

}  // namespace
}  // namespace attnd
