// Goal: windows cover a text with their special tokens, and every token's vectors come from the
// window in which it stands farthest from an edge. Method: all small cuts against a look at every
// window for every token.

#include "server/represent/windows.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;

TEST(WindowTest, TheLastIsTheFirstThatReachesTheEnd) {
  WindowCut cut{.tokens = 12, .prefix = 1, .suffix = 1, .room = 4, .stride = 2};
  EXPECT_THAT(CutWindows(cut), ElementsAre(TokenWindow{1, 5}, TokenWindow{3, 7}, TokenWindow{5, 9},
                                           TokenWindow{7, 11}));
  cut.tokens = 11;
  EXPECT_EQ(CutWindows(cut).back(), (TokenWindow{7, 10}));
  cut.tokens = 6;
  EXPECT_THAT(CutWindows(cut), ElementsAre(TokenWindow{1, 5}));
}

TEST(WindowTest, ATextOfNothingHasOne) {
  EXPECT_EQ(CountWindows({.tokens = 2, .prefix = 2, .room = 1, .stride = 1}), 1);
}

TEST(WindowTest, VeryManyAreCountedWithoutBeingMade) {
  constexpr int32_t kMany = std::numeric_limits<int32_t>::max();
  const WindowCut cut{.tokens = kMany, .room = 2, .stride = 1};
  EXPECT_EQ(CountWindows(cut), int64_t{kMany} - 1);
  EXPECT_EQ(CountWindowTokens(cut), 2 * (int64_t{kMany} - 1));
}

TEST(WindowTest, EachHasTheSpecialTokensAndTheirTypes) {
  Tokenized tokens;
  tokens.ids = {2, 10, 11, 12, 13, 3, 4};
  tokens.types = {1, 0, 0, 0, 0, 5, 6};
  const WindowCut cut{.tokens = 7, .prefix = 1, .suffix = 2, .room = 3, .stride = 1};
  const EncodeTask task = WindowTask(tokens, cut, {.begin = 2, .end = 5});
  EXPECT_THAT(task.ids, ElementsAre(2, 11, 12, 13, 3, 4));
  EXPECT_THAT(task.types, ElementsAre(1, 0, 0, 0, 5, 6));
  tokens.types.clear();
  EXPECT_TRUE(WindowTask(tokens, cut, {.begin = 2, .end = 5}).types.empty());
}

// The source of one token, by its definition.
RowSource Naive(const WindowCut& cut, const std::vector<TokenWindow>& windows, int32_t token) {
  const auto last = static_cast<int32_t>(windows.size()) - 1;
  if (token < cut.prefix) return {0, token};
  if (token >= cut.tokens - cut.suffix) {
    const int32_t rows = cut.prefix + windows[last].end - windows[last].begin + cut.suffix;
    return {last, rows - (cut.tokens - token)};
  }
  RowSource best;
  int32_t farthest = -1;
  for (int32_t w = 0; w <= last; ++w) {
    if (token < windows[w].begin || token >= windows[w].end) continue;
    const int32_t edge = std::min(token - windows[w].begin, windows[w].end - token - 1);
    if (edge > farthest) {
      farthest = edge;
      best = {w, cut.prefix + token - windows[w].begin};
    }
  }
  EXPECT_GE(farthest, 0) << "no window holds token " << token;
  return best;
}

TEST(MergeTest, EverySmallCutAgreesWithTheDefinition) {
  for (int32_t room = 1; room <= 6; ++room) {
    for (int32_t stride = 1; stride <= room; ++stride) {
      for (int32_t length = 0; length <= 25; ++length) {
        for (const auto& [prefix, suffix] : {std::pair(0, 0), {1, 1}, {0, 2}}) {
          const WindowCut cut{.tokens = length + prefix + suffix,
                              .prefix = prefix,
                              .suffix = suffix,
                              .room = room,
                              .stride = stride};
          const std::vector<TokenWindow> windows = CutWindows(cut);
          ASSERT_EQ(static_cast<int64_t>(windows.size()), CountWindows(cut));
          int64_t tokens = 0;
          for (const TokenWindow& window : windows) {
            tokens += prefix + window.end - window.begin + suffix;
          }
          ASSERT_EQ(CountWindowTokens(cut), tokens);
          const std::vector<RowSource> order = MergeOrder(cut, windows);
          ASSERT_EQ(order.size(), static_cast<size_t>(cut.tokens));
          for (int32_t token = 0; token < cut.tokens; ++token) {
            ASSERT_EQ(order[token], Naive(cut, windows, token));
          }
        }
      }
    }
  }
}

TEST(MergeTest, RowsLayersAndProjectionsComeFromTheSameWindowAndSparseIsTheLargest) {
  std::vector<EncodeTask> parts(2);
  parts[0].ids = {7, 8};
  parts[1].ids = {8, 9, 10};
  for (size_t p = 0; p < 2; ++p) {
    const auto base = static_cast<float>(100 * (p + 1));
    const size_t rows = parts[p].ids.size();
    parts[p].hidden_layers = {0, 1};
    for (size_t i = 0; i < rows; ++i) {
      for (int c = 0; c < 2; ++c) {
        parts[p].rows_out.push_back(base + static_cast<float>(i));
        parts[p].projection_out.push_back(-base - static_cast<float>(i));
      }
    }
    for (float layer : {1000.0f, 2000.0f}) {
      for (size_t i = 0; i < rows; ++i) {
        parts[p].hidden_out.push_back(layer + base + static_cast<float>(i));
      }
    }
  }
  parts[0].sparse_out = {1, 0, 3};
  parts[1].sparse_out = {0, 2, 4};
  parts[0].pooled_out = {5};
  parts[0].pooling = Pooling::kPooler;
  const std::vector<RowSource> order = {{0, 0}, {1, 0}, {1, 2}};
  const EncodeTask merged = MergeWindows(order, parts);
  EXPECT_THAT(merged.rows_out, ElementsAre(100, 100, 200, 200, 202, 202));
  EXPECT_THAT(merged.projection_out, ElementsAre(-100, -100, -200, -200, -202, -202));
  EXPECT_THAT(merged.hidden_out, ElementsAre(1100, 1200, 1202, 2100, 2200, 2202));
  EXPECT_THAT(merged.sparse_out, ElementsAre(1, 2, 4));
  EXPECT_THAT(merged.pooled_out, ElementsAre(5));
  EXPECT_EQ(merged.pooling, Pooling::kPooler);
}

}  // namespace
}  // namespace attnd
