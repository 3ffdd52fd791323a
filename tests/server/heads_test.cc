// Goal: what is made of logits is what the headers say: scores, ranks, answers and places in a
// text. Method: the pure functions of server/heads by themselves, against naive loops over random
// numbers with fixed seeds, or values written out.

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/input/tokenizer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/heads/best_answers.h"
#include "server/heads/scores.h"
#include "server/heads/text_offsets.h"
#include "server/validate/error.h"

namespace attnd {
namespace {

using ::testing::DoubleEq;
using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::Pointwise;
using Offset = Tokenized::Offset;

std::vector<float> Random(std::mt19937& random, size_t count) {
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random() % 4096) / 512 - 4;
  return values;
}

// As the formula is written, without the largest logit subtracted.
std::vector<double> NaiveSoftmax(const std::vector<float>& logits) {
  double sum = 0;
  for (const double logit : logits) sum += std::exp(logit);
  std::vector<double> scores;
  for (const double logit : logits) scores.push_back(std::exp(logit) / sum);
  return scores;
}

TEST(ScoresTest, SoftmaxIsTheFormula) {
  std::mt19937 random(1);
  for (const size_t count : {1, 2, 7, 1000}) {
    const std::vector<float> logits = Random(random, count);
    EXPECT_THAT(Softmax(logits), Pointwise(DoubleNear(1e-14), NaiveSoftmax(logits)));
  }
  EXPECT_TRUE(Softmax({}).empty());
}

TEST(ScoresTest, SoftmaxOfLargeLogitsNeitherOverflowsNorVanishes) {
  EXPECT_THAT(Softmax(std::vector<float>{3e38f, 3e38f}), ElementsAre(0.5, 0.5));
  EXPECT_THAT(Softmax(std::vector<float>{-3e38f, -3e38f, 0}), ElementsAre(0, 0, 1));
}

TEST(ScoresTest, EachFunctionScoresEachLogit) {
  const std::vector<float> logits = {0, 1, -1};
  EXPECT_THAT(Scores(ScoreFunction::kNone, logits), ElementsAre(0, 1, -1));
  EXPECT_THAT(
      Scores(ScoreFunction::kSigmoid, logits),
      ElementsAre(0.5, DoubleEq(1 / (1 + std::exp(-1.0))), DoubleEq(1 / (1 + std::exp(1.0)))));
  EXPECT_EQ(Scores(ScoreFunction::kSoftmax, logits), Softmax(logits));
  EXPECT_THAT(Scores(ScoreFunction::kSigmoid, std::vector<float>{1000, -1000}), ElementsAre(1, 0));
}

TEST(ScoresTest, LargestIsAStableSort) {
  std::mt19937 random(2);
  for (int round = 0; round < 50; ++round) {
    std::vector<float> values(random() % 40);
    for (float& value : values) value = static_cast<float>(random() % 8);  // Many are equal.
    std::vector<int32_t> expected(values.size());
    for (size_t i = 0; i < values.size(); ++i) expected[i] = static_cast<int32_t>(i);
    std::stable_sort(expected.begin(), expected.end(),
                     [&](int32_t a, int32_t b) { return values[a] > values[b]; });
    const auto count = static_cast<int32_t>(random() % 45);
    expected.resize(std::min<size_t>(expected.size(), count));
    EXPECT_EQ(Largest(values, count), expected);
  }
}

TEST(ScoresTest, WhatIsNoNumberRanksLast) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(Largest(std::vector<float>{nan, -5, nan, 7}, 4), ElementsAre(3, 1, 0, 2));
}

TEST(ScoresTest, TheRequestsFunctionWinsOverTheModels) {
  ModelInfo info;
  info.score_function = ScoreFunction::kSigmoid;
  EXPECT_EQ(*ReadScoreFunction(v1::SCORE_FUNCTION_UNSPECIFIED, info), ScoreFunction::kSigmoid);
  EXPECT_EQ(*ReadScoreFunction(v1::SCORE_FUNCTION_SIGMOID, info), ScoreFunction::kSigmoid);
  EXPECT_EQ(*ReadScoreFunction(v1::SCORE_FUNCTION_SOFTMAX, info), ScoreFunction::kSoftmax);
  EXPECT_EQ(*ReadScoreFunction(v1::SCORE_FUNCTION_NONE, info), ScoreFunction::kNone);
  const auto unknown = ReadScoreFunction(static_cast<v1::ScoreFunction>(9), info);
  EXPECT_EQ(ErrorReasonOf(unknown.status()), v1::ERROR_REASON_INVALID_VALUE);
}

// Rows 0 and 4 are special; the context is rows 1 to 3.
TEST(AnswersTest, TheSoftmaxIsOverTheContextAndTheFirstTokenOnlyWhereItTakesPart) {
  const std::vector<float> logits = {9, 8, 1, 2, 3, 4, 5, 6, 90, 80};  // [5, 2]
  const SpanScores without = ScoreSpans(logits, 1, 4, NoAnswer::kExcluded);
  EXPECT_THAT(without.starts, Pointwise(DoubleNear(1e-14), NaiveSoftmax({1, 3, 5})));
  EXPECT_THAT(without.ends, Pointwise(DoubleNear(1e-14), NaiveSoftmax({2, 4, 6})));
  EXPECT_EQ(without.no_answer, 0);

  const SpanScores with = ScoreSpans(logits, 1, 4, NoAnswer::kAllowed);
  const std::vector<double> starts = NaiveSoftmax({9, 1, 3, 5});
  const std::vector<double> ends = NaiveSoftmax({8, 2, 4, 6});
  EXPECT_THAT(with.starts, ElementsAre(DoubleNear(starts[1], 1e-14), DoubleNear(starts[2], 1e-14),
                                       DoubleNear(starts[3], 1e-14)));
  EXPECT_NEAR(with.no_answer, starts[0] * ends[0], 1e-14);
}

TEST(AnswersTest, ThreeTokensHaveTheseAnswers) {
  BestAnswers best(3);
  const std::vector<Offset> offsets = {{0, 3}, {4, 7}, {8, 11}};
  best.AddWindow({.starts = {0.5, 0.25, 0.25}, .ends = {0.125, 0.25, 0.625}}, offsets, 2);
  const auto ranked = best.Ranked();  // Not [0, 11): it has three tokens.
  ASSERT_EQ(ranked.size(), 3u);
  EXPECT_EQ(ranked[0].place, (Offset{4, 11}));
  EXPECT_EQ(ranked[0].score, 0.25 * 0.625);
  EXPECT_EQ(ranked[1].place, (Offset{8, 11}));
  EXPECT_EQ(ranked[1].score, 0.25 * 0.625);
  EXPECT_EQ(ranked[2].place, (Offset{0, 7}));
  EXPECT_EQ(ranked[2].score, 0.125);
}

TEST(AnswersTest, ASpanWithoutTextIsNoneAndFewTokensHaveFewAnswers) {
  BestAnswers best(10);
  const std::vector<Offset> offsets = {{0, 0}, {0, 2}};
  best.AddWindow({.starts = {0.5, 0.5}, .ends = {0.5, 0.5}}, offsets, 100);
  ASSERT_EQ(best.Ranked().size(), 1u);  // [0, 2) by either start.
  best.Add({0, 0}, 0.75);
  EXPECT_EQ(best.Ranked()[0].place, (Offset{0, 0}));
}

// Windows that overlap, tokens that share a place, and scores that are often equal.
TEST(AnswersTest, TheBestOfAllWindowsAreThoseOfANaiveSearch) {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    const auto count = static_cast<int32_t>(1 + random() % 12);
    const auto tokens_max = static_cast<int32_t>(1 + random() % 6);
    BestAnswers best(count);
    std::map<std::pair<int32_t, int32_t>, double> naive;
    for (uint32_t window = 0; window < 1 + random() % 4; ++window) {
      SpanScores scores;
      std::vector<Offset> offsets;
      auto at = static_cast<int32_t>(random() % 10);
      for (uint32_t token = 0; token < 1 + random() % 12; ++token) {
        scores.starts.push_back(static_cast<double>(random() % 8) / 8);
        scores.ends.push_back(static_cast<double>(random() % 8) / 8);
        const auto width = static_cast<int32_t>(random() % 3);
        offsets.push_back({at, at + width});
        at += random() % 4 == 0 ? 0 : width;
      }
      best.AddWindow(scores, offsets, tokens_max);
      for (size_t i = 0; i < offsets.size(); ++i) {
        for (size_t j = i; j < offsets.size() && j < i + tokens_max; ++j) {
          if (offsets[i].start >= offsets[j].end) continue;
          double& score = naive.try_emplace({offsets[i].start, offsets[j].end}, -1).first->second;
          score = std::max(score, scores.starts[i] * scores.ends[j]);
        }
      }
    }
    std::vector<std::pair<std::pair<int32_t, int32_t>, double>> expected(naive.begin(),
                                                                         naive.end());
    std::stable_sort(expected.begin(), expected.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
    expected.resize(std::min<size_t>(expected.size(), count));
    const std::vector<ScoredAnswer> ranked = best.Ranked();
    ASSERT_EQ(ranked.size(), expected.size());
    for (size_t i = 0; i < ranked.size(); ++i) {
      ASSERT_EQ(ranked[i].place, (Offset{expected[i].first.first, expected[i].first.second}));
      ASSERT_EQ(ranked[i].score, expected[i].second);
    }
  }
}

// a, é of two bytes, the euro sign of three, an emoji of four bytes and two units, b.
constexpr char kText[] = "a\u00E9\u20AC\U0001F600b";

TEST(TextOffsetsTest, PlacesCountInTheUnitAskedFor) {
  const Offset emoji{6, 10};
  EXPECT_EQ(TextOffsets(kText, OffsetUnit::kByte).InUnit(emoji), (Offset{6, 10}));
  EXPECT_EQ(TextOffsets(kText, OffsetUnit::kCodePoint).InUnit(emoji), (Offset{3, 4}));
  EXPECT_EQ(TextOffsets(kText, OffsetUnit::kUtf16).InUnit(emoji), (Offset{3, 5}));
  EXPECT_EQ(TextOffsets(kText, OffsetUnit::kCodePoint).InUnit({0, 11}), (Offset{0, 5}));
  EXPECT_EQ(TextOffsets(kText, OffsetUnit::kUtf16).InUnit({10, 11}), (Offset{5, 6}));
  EXPECT_EQ(TextOffsets(kText, OffsetUnit::kUtf16).Text(emoji), "\U0001F600");
  EXPECT_EQ(TextOffsets("", OffsetUnit::kUtf16).InUnit({0, 0}), (Offset{0, 0}));
}

TEST(TextOffsetsTest, AByteWithinACodePointIsWidenedToAllOfIt) {
  const TextOffsets text(kText, OffsetUnit::kCodePoint);
  EXPECT_EQ(text.Whole({7, 8}), (Offset{6, 10}));
  EXPECT_EQ(text.Whole({2, 4}), (Offset{1, 6}));
  EXPECT_EQ(text.Whole({6, 10}), (Offset{6, 10}));
  EXPECT_EQ(text.Whole({10, 11}), (Offset{10, 11}));
  EXPECT_EQ(text.Text(text.Whole({2, 2})), "\u00E9");
}

}  // namespace
}  // namespace attnd
