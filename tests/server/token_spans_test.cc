// Goal: labels of tokens become the spans that transformers' pipeline makes of them. Method: the
// examples of its documentation and cases worked by hand; then every aggregation against the
// pipeline's steps, written as loops over lists, on random logits with a fixed seed.

#include "server/heads/token_spans.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// "label first end" of each span.
std::vector<std::string> Told(const std::vector<LabelledSpan>& spans) {
  std::vector<std::string> told;
  for (const LabelledSpan& span : spans) {
    told.push_back(span.label + " " + std::to_string(span.first_token) + " " +
                   std::to_string(span.end_token));
  }
  return told;
}

// Tokens of one text, none special, each of the word given.
Tokenized TokensOf(const std::vector<int32_t>& words) {
  Tokenized tokens;
  tokens.ids.resize(words.size());
  tokens.special.resize(words.size());
  tokens.text_indices.resize(words.size());
  tokens.word_ids = words;
  return tokens;
}

// Logits whose best label for each token is the one named.
std::vector<float> Choose(const std::vector<std::string>& chosen,
                          const std::vector<std::string>& labels) {
  std::vector<float> logits;
  for (const std::string& label : chosen) {
    for (const std::string& other : labels) logits.push_back(label == other ? 2.0f : 0.0f);
  }
  return logits;
}

const std::vector<std::string> kLabels = {"O",      "B-TAG", "I-TAG", "B-TAG2",
                                          "I-TAG2", "B-ENT", "I-ENT", "I-NAME"};

TEST(TokenSpansTest, SimpleJoinsOneKindUntilABegins) {
  const Tokenized tokens = TokensOf({0, 1, 2, 3, 4});
  const auto logits = Choose({"B-TAG", "I-TAG", "I-TAG", "B-TAG2", "B-TAG2"}, kLabels);
  EXPECT_THAT(Told(FindSpans(logits, tokens, kLabels, v1::SPAN_AGGREGATION_SIMPLE)),
              ElementsAre("TAG 0 3", "TAG2 3 4", "TAG2 4 5"));
  EXPECT_THAT(Told(FindSpans(logits, tokens, kLabels, v1::SPAN_AGGREGATION_NONE)),
              ElementsAre("B-TAG 0 1", "I-TAG 1 2", "I-TAG 2 3", "B-TAG2 3 4", "B-TAG2 4 5"));
}

TEST(TokenSpansTest, ALabelWithoutPrefixContinuesAndOthersPartSpans) {
  const std::vector<std::string> labels = {"O", "PER", "B-PER", "I-LOC"};
  const auto logits = Choose({"PER", "PER", "O", "I-LOC", "B-PER", "PER"}, labels);
  EXPECT_THAT(
      Told(FindSpans(logits, TokensOf({0, 1, 2, 3, 4, 5}), labels, v1::SPAN_AGGREGATION_SIMPLE)),
      ElementsAre("PER 0 2", "O 2 3", "LOC 3 4", "PER 4 6"));
}

// micro|soft| com|pany| B-ENT I-NAME I-ENT I-ENT
TEST(TokenSpansTest, FirstGivesAWordTheLabelOfItsFirstToken) {
  const Tokenized tokens = TokensOf({0, 0, 1, 1});
  const auto logits = Choose({"B-ENT", "I-NAME", "I-ENT", "I-ENT"}, kLabels);
  EXPECT_THAT(Told(FindSpans(logits, tokens, kLabels, v1::SPAN_AGGREGATION_FIRST)),
              ElementsAre("ENT 0 4"));
  EXPECT_THAT(Told(FindSpans(logits, tokens, kLabels, v1::SPAN_AGGREGATION_SIMPLE)),
              ElementsAre("ENT 0 1", "NAME 1 2", "ENT 2 4"));
}

// Softmax of {log a, log b} is {a, b} where a + b is 1.
float Log(double share) { return static_cast<float>(std::log(share)); }

TEST(TokenSpansTest, AverageAndMaxWeighTheTokensOfAWord) {
  const std::vector<std::string> labels = {"A", "B"};
  const Tokenized tokens = TokensOf({0, 0, 0});
  const std::vector<float> logits = {Log(0.4), Log(0.6), Log(0.45), Log(0.55), Log(0.9), Log(0.1)};
  const auto first = FindSpans(logits, tokens, labels, v1::SPAN_AGGREGATION_FIRST);
  const auto average = FindSpans(logits, tokens, labels, v1::SPAN_AGGREGATION_AVERAGE);
  const auto best = FindSpans(logits, tokens, labels, v1::SPAN_AGGREGATION_MAX);
  EXPECT_THAT(Told(first), ElementsAre("B 0 3"));
  EXPECT_NEAR(first[0].score, 0.6, 1e-6);
  EXPECT_THAT(Told(average), ElementsAre("A 0 3"));
  EXPECT_NEAR(average[0].score, (0.4 + 0.45 + 0.9) / 3, 1e-6);
  EXPECT_THAT(Told(best), ElementsAre("A 0 3"));
  EXPECT_NEAR(best[0].score, 0.9, 1e-6);
  const auto simple = FindSpans(logits, tokens, labels, v1::SPAN_AGGREGATION_SIMPLE);
  EXPECT_THAT(Told(simple), ElementsAre("B 0 2", "A 2 3"));
  EXPECT_NEAR(simple[0].score, (0.6 + 0.55) / 2, 1e-6);
}

TEST(TokenSpansTest, SpecialTokensArePassedOverAndNothingJoinsTwoTexts) {
  Tokenized tokens = TokensOf({-1, 0, -1, 0, 0, -1});
  tokens.special = {1, 0, 1, 0, 0, 1};
  tokens.text_indices = {-1, 0, -1, 1, 1, -1};
  const auto logits = Choose({"I-TAG", "I-TAG", "I-TAG", "I-TAG", "I-TAG", "I-TAG"}, kLabels);
  for (const auto aggregation : {v1::SPAN_AGGREGATION_SIMPLE, v1::SPAN_AGGREGATION_FIRST}) {
    EXPECT_THAT(Told(FindSpans(logits, tokens, kLabels, aggregation)),
                ElementsAre("TAG 1 2", "TAG 3 5"));
  }
  // Without a separator the texts are neighbours.
  tokens = TokensOf({0, 0});
  tokens.text_indices = {0, 1};
  EXPECT_THAT(Told(FindSpans(Choose({"I-TAG", "I-TAG"}, kLabels), tokens, kLabels,
                             v1::SPAN_AGGREGATION_MAX)),
              ElementsAre("TAG 0 1", "TAG 1 2"));
}

TEST(TokenSpansTest, WithoutWordsEachTokenIsOne) {
  Tokenized tokens = TokensOf({0, 0});
  tokens.word_ids.clear();
  tokens.text_indices = {-1, -1};
  EXPECT_THAT(Told(FindSpans(Choose({"B-ENT", "B-TAG"}, kLabels), tokens, kLabels,
                             v1::SPAN_AGGREGATION_FIRST)),
              ElementsAre("ENT 0 1", "TAG 1 2"));
  EXPECT_THAT(FindSpans({}, TokensOf({}), kLabels, v1::SPAN_AGGREGATION_SIMPLE), IsEmpty());
}

// The pipeline's steps: gather_pre_entities, aggregate_words, group_entities.
struct Entity {
  std::vector<std::vector<double>> scores;  // Of each token.
  int32_t first, end;
  std::string label;
  double score;
};

std::vector<double> NaiveSoftmax(const float* logits, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += std::exp(double{logits[i]});
  std::vector<double> scores;
  for (size_t i = 0; i < count; ++i) scores.push_back(std::exp(double{logits[i]}) / sum);
  return scores;
}

void NaiveLabel(Entity& entity, v1::SpanAggregation aggregation) {
  std::vector<double> scores = entity.scores[0];
  if (aggregation == v1::SPAN_AGGREGATION_MAX) {
    for (const auto& token : entity.scores) {
      if (*std::max_element(token.begin(), token.end()) >
          *std::max_element(scores.begin(), scores.end())) {
        scores = token;
      }
    }
  } else if (aggregation == v1::SPAN_AGGREGATION_AVERAGE) {
    for (size_t label = 0; label < scores.size(); ++label) {
      scores[label] = 0;
      for (const auto& token : entity.scores) scores[label] += token[label];
      scores[label] /= static_cast<double>(entity.scores.size());
    }
  }
  const auto best = std::max_element(scores.begin(), scores.end());
  entity.label = kLabels[best - scores.begin()];
  entity.score = *best;
}

std::pair<char, std::string> NaiveTag(const std::string& label) {
  if (label.substr(0, 2) == "B-") return {'B', label.substr(2)};
  if (label.substr(0, 2) == "I-") return {'I', label.substr(2)};
  return {'I', label};
}

std::vector<LabelledSpan> NaiveSpans(const std::vector<float>& logits, const Tokenized& tokens,
                                     v1::SpanAggregation aggregation) {
  std::vector<Entity> entities;
  for (size_t i = 0; i < tokens.ids.size(); ++i) {
    const auto scores = NaiveSoftmax(&logits[i * kLabels.size()], kLabels.size());
    const bool goes_on = aggregation != v1::SPAN_AGGREGATION_SIMPLE && i > 0 &&
                         tokens.word_ids[i] == tokens.word_ids[i - 1];
    if (goes_on) {
      entities.back().scores.push_back(scores);
      ++entities.back().end;
    } else {
      const auto at = static_cast<int32_t>(i);
      entities.push_back({{scores}, at, at + 1, "", 0});
    }
  }
  std::vector<std::vector<Entity>> groups;
  for (Entity& entity : entities) {
    NaiveLabel(entity, aggregation);
    const auto [begins, kind] = NaiveTag(entity.label);
    const bool joins =
        !groups.empty() && begins != 'B' && kind == NaiveTag(groups.back().back().label).second;
    if (!joins) groups.emplace_back();
    groups.back().push_back(entity);
  }
  std::vector<LabelledSpan> spans;
  for (const auto& group : groups) {
    double sum = 0;
    for (const Entity& entity : group) sum += entity.score;
    spans.push_back({NaiveTag(group[0].label).second, sum / static_cast<double>(group.size()),
                     group.front().first, group.back().end});
  }
  return spans;
}

TEST(TokenSpansTest, EveryAggregationIsThePipelines) {
  std::mt19937 random(4);
  for (int round = 0; round < 300; ++round) {
    std::vector<int32_t> words;
    for (uint32_t i = 0; i < 1 + random() % 12; ++i) {
      words.push_back(words.empty() ? 0 : words.back() + static_cast<int32_t>(random() % 2));
    }
    const Tokenized tokens = TokensOf(words);
    std::vector<float> logits(words.size() * kLabels.size());
    for (float& logit : logits) logit = static_cast<float>(random() % 4096) / 1024;
    for (const auto aggregation : {v1::SPAN_AGGREGATION_SIMPLE, v1::SPAN_AGGREGATION_FIRST,
                                   v1::SPAN_AGGREGATION_AVERAGE, v1::SPAN_AGGREGATION_MAX}) {
      const auto spans = FindSpans(logits, tokens, kLabels, aggregation);
      const auto naive = NaiveSpans(logits, tokens, aggregation);
      ASSERT_EQ(Told(spans), Told(naive)) << aggregation;
      for (size_t i = 0; i < spans.size(); ++i) {
        ASSERT_NEAR(spans[i].score, naive[i].score, 1e-12);
      }
    }
  }
}

}  // namespace
}  // namespace attnd
