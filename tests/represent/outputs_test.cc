// Goal: layers, attention maps, sparse weights, pooled vectors and cosines are what their comments
// say, and touch nothing that the engine has finished. Method: random numbers against naive loops.

#include "server/represent/outputs.h"

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<float> RandomFloats(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = std::normal_distribution<float>()(random);
  return values;
}

std::vector<float> FloatsOf(const v1::Tensor& tensor) {
  EXPECT_EQ(tensor.dtype(), v1::DATA_TYPE_FLOAT32);
  std::vector<float> values(tensor.data().size() / sizeof(float));
  std::memcpy(values.data(), tensor.data().data(), tensor.data().size());
  return values;
}

constexpr int64_t kLayers = 3, kRows = 4, kColumns = 5;
constexpr StatesShape kShape{.layers = kLayers, .rows = kRows, .columns = kColumns};

TEST(HiddenLayersTest, SeparateLayersAreMatricesInTheirOrder) {
  const std::vector<float> states = RandomFloats(kLayers * kRows * kColumns, 1);
  v1::Encoding encoding;
  WriteHiddenLayers(states, kShape, LayerCombination::kSeparate, encoding);
  ASSERT_EQ(encoding.hidden_layers_size(), kLayers);
  for (int layer = 0; layer < kLayers; ++layer) {
    EXPECT_THAT(encoding.hidden_layers(layer).shape(), ElementsAre(kRows, kColumns));
    const auto begin = states.begin() + layer * kRows * kColumns;
    EXPECT_EQ(FloatsOf(encoding.hidden_layers(layer)),
              std::vector<float>(begin, begin + kRows * kColumns));
  }
}

TEST(HiddenLayersTest, MeanAndConcatenationAreOneMatrix) {
  const std::vector<float> states = RandomFloats(kLayers * kRows * kColumns, 2);
  v1::Encoding mean, concatenation;
  WriteHiddenLayers(states, kShape, LayerCombination::kMean, mean);
  WriteHiddenLayers(states, kShape, LayerCombination::kConcatenation, concatenation);
  ASSERT_EQ(mean.hidden_layers_size(), 1);
  ASSERT_EQ(concatenation.hidden_layers_size(), 1);
  EXPECT_THAT(mean.hidden_layers(0).shape(), ElementsAre(kRows, kColumns));
  EXPECT_THAT(concatenation.hidden_layers(0).shape(), ElementsAre(kRows, kLayers * kColumns));
  const std::vector<float> means = FloatsOf(mean.hidden_layers(0));
  const std::vector<float> rows = FloatsOf(concatenation.hidden_layers(0));
  for (int64_t row = 0; row < kRows; ++row) {
    for (int64_t column = 0; column < kColumns; ++column) {
      double sum = 0;
      for (int64_t layer = 0; layer < kLayers; ++layer) {
        const float value = states[(layer * kRows + row) * kColumns + column];
        sum += value;
        EXPECT_EQ(rows[(row * kLayers + layer) * kColumns + column], value);
      }
      EXPECT_NEAR(means[row * kColumns + column], sum / kLayers, 1e-6);
    }
  }
}

TEST(AttentionMapTest, EachLayerHasItsHeadsAndWhatWasAskedFor) {
  constexpr int64_t kSize = 2 * 3 * 3;  // Heads, tokens, tokens.
  EncodeTask task;
  task.attention_layers = {4, 1};
  task.return_attention_weights = true;
  task.attention_weights_out = RandomFloats(2 * kSize, 3);
  v1::Encoding encoding;
  WriteAttention(task, std::vector<int32_t>{5, 0}, 3, encoding);
  ASSERT_EQ(encoding.attention_size(), 2);
  EXPECT_EQ(encoding.attention(0).layer(), 4);
  EXPECT_EQ(encoding.attention(1).layer(), 1);
  for (int layer = 0; layer < 2; ++layer) {
    EXPECT_THAT(encoding.attention(layer).heads(), ElementsAre(5, 0));
    EXPECT_THAT(encoding.attention(layer).weights().shape(), ElementsAre(2, 3, 3));
    EXPECT_FALSE(encoding.attention(layer).has_scores());
    const auto begin = task.attention_weights_out.begin() + layer * kSize;
    EXPECT_EQ(FloatsOf(encoding.attention(layer).weights()),
              std::vector<float>(begin, begin + kSize));
  }
  task.return_attention_weights = false;
  task.return_attention_scores = true;
  task.attention_scores_out = RandomFloats(2 * kSize, 4);
  v1::Encoding scores;
  WriteAttention(task, std::vector<int32_t>{5, 0}, 3, scores);
  EXPECT_FALSE(scores.attention(1).has_weights());
  EXPECT_EQ(FloatsOf(scores.attention(1).scores()),
            std::vector<float>(task.attention_scores_out.begin() + kSize,
                               task.attention_scores_out.end()));
}

TEST(SparseTest, WhatIsNotAboveZeroIsLeftOut) {
  const std::vector<float> weights = {0, 0.5f, -1, 0, 2};
  v1::SparseVector sparse;
  WriteSparse(weights, 10, nullptr, sparse);
  EXPECT_THAT(sparse.ids(), ElementsAre(1, 4));
  EXPECT_THAT(sparse.weights(), ElementsAre(0.5f, 2));
  EXPECT_THAT(sparse.tokens(), IsEmpty());

  const std::function<std::optional<std::string>(int32_t)> token_of =
      [](int32_t id) -> std::optional<std::string> {
    return id == 1 ? std::optional<std::string>("one") : std::nullopt;
  };
  v1::SparseVector named;
  WriteSparse(weights, 10, &token_of, named);
  EXPECT_THAT(named.tokens(), ElementsAre("one", ""));
}

TEST(SparseTest, NoVectorIsLongerThanItsBound) {
  for (const size_t vocabulary : {1u, 127u, 128u, 129u, 16'383u, 16'384u, 16'385u, 40'000u}) {
    v1::SparseVector sparse;
    const std::vector<float> weights(vocabulary, 1);
    const auto all = static_cast<int32_t>(vocabulary);
    WriteSparse(weights, all, nullptr, sparse);
    EXPECT_LE(static_cast<int64_t>(sparse.ByteSizeLong()),
              SparseBytesMax({.vocabulary = all, .top_k = all}));
    v1::SparseVector few;
    WriteSparse(weights, 100, nullptr, few);
    EXPECT_LE(static_cast<int64_t>(few.ByteSizeLong()),
              SparseBytesMax({.vocabulary = all, .top_k = 100}));
  }
  EXPECT_LT(SparseBytesMax({.vocabulary = 40'000, .top_k = 100}), 1000);
}

TEST(SparseTest, TheLargestAreKeptAndOfEqualOnesThoseOfLowerIds) {
  const std::vector<float> weights = {0.5f, 3, 1, 0, 1, 2, 1};
  const auto ids = [&](int32_t top_k) {
    v1::SparseVector sparse;
    WriteSparse(weights, top_k, nullptr, sparse);
    for (int i = 0; i < sparse.ids_size(); ++i) {
      EXPECT_EQ(sparse.weights(i), weights[sparse.ids(i)]);
    }
    return std::vector<int32_t>(sparse.ids().begin(), sparse.ids().end());
  };
  EXPECT_THAT(ids(1), ElementsAre(1));
  EXPECT_THAT(ids(3), ElementsAre(1, 2, 5));
  EXPECT_THAT(ids(4), ElementsAre(1, 2, 4, 5));
  EXPECT_THAT(ids(6), ElementsAre(0, 1, 2, 4, 5, 6));
  EXPECT_THAT(ids(7), ElementsAre(0, 1, 2, 4, 5, 6));
}

TEST(FinishPooledTest, WhatTheEngineFinishedKeepsItsBits) {
  EncodeTask task;
  task.pooling = Pooling::kMean;
  task.normalize = true;
  task.pooled_out = {0.1f, 0.2f, 7};  // Not of length 1: it would show if it were touched.
  FinishPooled({.pooling = Pooling::kMean, .normalize = true, .dimensions = 3}, 3, task);
  EXPECT_THAT(task.pooled_out, ElementsAre(0.1f, 0.2f, 7));
  EncodeTask none;
  FinishPooled({.pooling = std::nullopt, .normalize = true, .dimensions = 3}, 3, none);
  EXPECT_THAT(none.pooled_out, IsEmpty());
}

TEST(FinishPooledTest, FewerDimensionsAreCutAndThenScaled) {
  EncodeTask task;
  task.pooling = Pooling::kMean;
  task.pooled_out = {3, 4, 100};
  FinishPooled({.pooling = Pooling::kMean, .normalize = true, .dimensions = 2}, 3, task);
  ASSERT_EQ(task.pooled_out.size(), 2u);
  EXPECT_NEAR(task.pooled_out[0], 0.6, 1e-6);
  EXPECT_NEAR(task.pooled_out[1], 0.8, 1e-6);

  EncodeTask plain;
  plain.pooling = Pooling::kMean;
  plain.pooled_out = {3, 4, 100};
  FinishPooled({.pooling = Pooling::kMean, .dimensions = 2}, 3, plain);
  EXPECT_THAT(plain.pooled_out, ElementsAre(3, 4));
}

TEST(FinishPooledTest, RowsArePooledHereWhereTheEngineWasNotAsked) {
  EncodeTask task;
  task.rows_out = {1, 2, 3, 4, 5, 9};  // [3, 2]
  FinishPooled({.pooling = Pooling::kMean, .dimensions = 2}, 2, task);
  EXPECT_THAT(task.pooled_out, ElementsAre(3, 5));
  task.pooled_out.clear();
  FinishPooled({.pooling = Pooling::kLast, .dimensions = 1}, 2, task);
  EXPECT_THAT(task.pooled_out, ElementsAre(5));
}

TEST(MultiVectorTest, EachIsOfLengthOneAndAsWideAsTheProjectionIfThereIsOne) {
  ModelInfo info;
  info.hidden = 3;
  EXPECT_EQ(MultiVectorWidth(info), 3);
  info.projection = 2;
  EXPECT_EQ(MultiVectorWidth(info), 2);
  std::vector<float> vectors = {3, 4, 0, 0, -5, 12};
  FinishMultiVectors(info, vectors);
  const double expected[] = {0.6, 0.8, 0, 0, -5.0 / 13, 12.0 / 13};
  for (size_t i = 0; i < 6; ++i) EXPECT_NEAR(vectors[i], expected[i], 1e-6);
}

TEST(CosineTest, EveryPairAgreesWithTheFormula) {
  constexpr size_t kSize = 50;
  const std::vector<float> numbers = RandomFloats(5 * kSize, 6);
  std::vector<std::span<const float>> vectors;
  for (size_t i = 0; i < 5; ++i) vectors.push_back(std::span(numbers).subspan(i * kSize, kSize));
  const auto sources = std::span(vectors).first(2), targets = std::span(vectors).subspan(2);
  const std::vector<float> cosines = Cosines(sources, targets);
  ASSERT_EQ(cosines.size(), 6u);
  for (size_t i = 0; i < 2; ++i) {
    for (size_t j = 0; j < 3; ++j) {
      long double product = 0, a = 0, b = 0;
      for (size_t k = 0; k < kSize; ++k) {
        product += static_cast<long double>(sources[i][k]) * targets[j][k];
        a += static_cast<long double>(sources[i][k]) * sources[i][k];
        b += static_cast<long double>(targets[j][k]) * targets[j][k];
      }
      EXPECT_FLOAT_EQ(cosines[i * 3 + j], static_cast<float>(product / std::sqrt(a * b)));
    }
  }
}

TEST(CosineTest, EndsOfTheRange) {
  const std::vector<float> a = {1e-20f, 3e-20f}, b = {-2e18f, -6e18f}, zero = {0, 0};
  const std::vector<std::span<const float>> vectors = {a, b, zero};
  EXPECT_THAT(Cosines(vectors, vectors), ElementsAre(1, -1, 0, -1, 1, 0, 0, 0, 0));
}

}  // namespace
}  // namespace attnd
