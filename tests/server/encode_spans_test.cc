// Goal: words, sentences, ranges, chunks, windows and prompts come over the wire as the contract
// says. Method: a server on a real port whose stub has numbers that depend on a token's place in
// its window, pooled and merged by naive loops in the test.

#include <algorithm>
#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/encode_support.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using testing::EncodeOne;
using testing::FloatsOf;
using testing::IdsRequest;
using ::testing::IsEmpty;
using testing::kHidden;
using testing::kNumbers;
using testing::LayerOffset;
using testing::NaiveRows;
using testing::NumberedServer;
using testing::StubModel;
using testing::TextRequest;

// "start end text first last", one a span.
std::vector<std::vector<int>> SpansOf(const v1::Encoding& encoding) {
  std::vector<std::vector<int>> spans;
  for (const v1::Span& span : encoding.spans()) {
    spans.push_back(
        {span.start(), span.end(), span.text_index(), span.first_token(), span.end_token()});
  }
  return spans;
}
std::vector<int> Span(int start, int end, int text, int first, int last) {
  return {start, end, text, first, last};
}

// The mean of rows [first, end) of the matrix.
std::vector<float> Mean(const std::vector<float>& rows, int first, int end) {
  std::vector<float> mean(kHidden, 0);
  for (int row = first; row < end; ++row) {
    for (int c = 0; c < kHidden; ++c) mean[c] += rows[row * kHidden + c];
  }
  for (float& value : mean) value /= static_cast<float>(end - first);
  return mean;
}

void ExpectNear(const std::vector<float>& given, const std::vector<float>& expected) {
  ASSERT_EQ(given.size(), expected.size());
  for (size_t i = 0; i < given.size(); ++i) EXPECT_NEAR(given[i], expected[i], 1e-4) << i;
}

// Expects the mean of each span's tokens, out of the token vectors of the same reply.
void ExpectMeans(const v1::Encoding& encoding) {
  const std::vector<float> rows = FloatsOf(encoding.token_vectors());
  std::vector<float> expected;
  for (const v1::Span& span : encoding.spans()) {
    std::vector<float> mean(kHidden, 0);
    if (span.first_token() < span.end_token()) {
      mean = Mean(rows, span.first_token(), span.end_token());
    }
    expected.insert(expected.end(), mean.begin(), mean.end());
  }
  EXPECT_THAT(encoding.span_vectors().shape(), ElementsAre(encoding.spans_size(), kHidden));
  ExpectNear(FloatsOf(encoding.span_vectors()), expected);
}

v1::EncodeRequest SpanRequest(std::string_view text, v1::SpanKind kind) {
  v1::EncodeRequest request = TextRequest(text);
  request.mutable_options()->set_return_token_vectors(true);
  request.mutable_options()->mutable_spans()->set_kind(kind);
  return request;
}

TEST(SpanTest, WordsOfATextAndOfAPair) {
  NumberedServer server;
  v1::EncodeRequest request = SpanRequest("cats sat", v1::SPAN_KIND_WORDS);
  v1::Encoding encoding = EncodeOne(server, request);  // [CLS] cat ##s sat [SEP]
  EXPECT_THAT(SpansOf(encoding), ElementsAre(Span(0, 4, 0, 1, 3), Span(5, 8, 0, 3, 4)));
  EXPECT_THAT(encoding.tokens().word_ids(), ElementsAre(-1, 0, 0, 1, -1));
  ExpectMeans(encoding);
  request.mutable_inputs(0)->mutable_text_pair()->set_first("the");
  request.mutable_inputs(0)->mutable_text_pair()->set_second("on mats");
  encoding = EncodeOne(server, request);  // [CLS] the [SEP] on mat ##s [SEP]
  EXPECT_THAT(SpansOf(encoding),
              ElementsAre(Span(0, 3, 0, 1, 2), Span(0, 2, 1, 3, 4), Span(3, 7, 1, 4, 6)));
  ExpectMeans(encoding);
}

TEST(SpanTest, SentencesInTheUnitAskedFor) {
  NumberedServer server;
  v1::EncodeRequest request =
      SpanRequest("\xF0\x9F\x98\x80 sat. The cat!", v1::SPAN_KIND_SENTENCES);
  v1::Encoding encoding = EncodeOne(server, request);  // [CLS] [UNK] sat . the cat ! [SEP]
  EXPECT_THAT(SpansOf(encoding), ElementsAre(Span(0, 6, 0, 1, 4), Span(7, 15, 0, 4, 7)));
  ExpectMeans(encoding);
  request.mutable_options()->set_offset_unit(v1::OFFSET_UNIT_BYTE);
  EXPECT_THAT(SpansOf(EncodeOne(server, request)),
              ElementsAre(Span(0, 9, 0, 1, 4), Span(10, 18, 0, 4, 7)));
  request.mutable_inputs(0)->mutable_text_pair()->set_first("A. B");
  request.mutable_inputs(0)->mutable_text_pair()->set_second("C");
  EXPECT_THAT(SpansOf(EncodeOne(server, request)),
              ElementsAre(Span(0, 2, 0, 1, 3), Span(3, 4, 0, 3, 4), Span(0, 1, 1, 5, 6)));
}

void AddRange(v1::Ranges& ranges, int start, int end, int text) {
  v1::Range& range = *ranges.add_ranges();
  range.set_start(start);
  range.set_end(end);
  range.set_text_index(text);
}

TEST(SpanTest, RangesAreEachInputsOwn) {
  NumberedServer server;
  v1::EncodeRequest request = SpanRequest("the cat sat", v1::SPAN_KIND_RANGES);
  auto& pair = *request.add_inputs()->mutable_text_pair();
  pair.set_first("on");
  pair.set_second("the mat");
  v1::Ranges& first = *request.add_ranges();
  AddRange(first, 2, 5, 0);
  AddRange(first, 3, 4, 0);  // A blank.
  v1::Ranges& second = *request.add_ranges();
  AddRange(second, 4, 7, 1);
  AddRange(second, 0, 2, 0);
  v1::EncodeResponse response;
  ASSERT_TRUE(Encode(server, request, &response).ok());
  EXPECT_THAT(SpansOf(response.encodings(0)),
              ElementsAre(Span(2, 5, 0, 1, 3), Span(3, 4, 0, 2, 2)));
  EXPECT_THAT(SpansOf(response.encodings(1)),
              ElementsAre(Span(4, 7, 1, 4, 5), Span(0, 2, 0, 1, 2)));
  for (const v1::Encoding& encoding : response.encodings()) ExpectMeans(encoding);
  request.mutable_ranges(0)->clear_ranges();
  ASSERT_TRUE(Encode(server, request, &response).ok());
  EXPECT_THAT(response.encodings(0).span_vectors().shape(), ElementsAre(0, kHidden));
}

TEST(SpanTest, WhatWasTruncatedAwayIsARangeOfNoTokens) {
  NumberedServer server;
  v1::EncodeRequest request = SpanRequest("a b c d", v1::SPAN_KIND_RANGES);
  request.mutable_options()->set_max_length(4);
  request.mutable_options()->set_truncation(v1::TRUNCATION_RIGHT);
  AddRange(*request.add_ranges(), 6, 7, 0);
  const v1::Encoding encoding = EncodeOne(server, request);
  EXPECT_THAT(SpansOf(encoding), ElementsAre(Span(6, 7, 0, 3, 3)));
  EXPECT_THAT(FloatsOf(encoding.span_vectors()), ::testing::Each(0.0f));
}

TEST(SpanTest, ChunksOfTextsAndIds) {
  NumberedServer server;
  v1::EncodeRequest request = SpanRequest("a b c d", v1::SPAN_KIND_CHUNKS);
  request.mutable_options()->mutable_spans()->set_chunk_tokens(3);
  request.mutable_options()->mutable_spans()->set_chunk_overlap(1);
  v1::Encoding encoding = EncodeOne(server, request);
  EXPECT_THAT(SpansOf(encoding), ElementsAre(Span(0, 5, 0, 1, 4), Span(4, 7, 0, 3, 5)));
  ExpectMeans(encoding);
  *request.mutable_inputs(0) = IdsRequest(9, 4).inputs(0);
  encoding = EncodeOne(server, request);
  EXPECT_THAT(SpansOf(encoding), ElementsAre(Span(0, 0, -1, 0, 3), Span(0, 0, -1, 2, 4)));
  ExpectMeans(encoding);
}

TEST(SpanTest, PoolingAndNormalizationAreThoseAskedFor) {
  NumberedServer server;
  v1::EncodeRequest request = SpanRequest("a b c", v1::SPAN_KIND_CHUNKS);
  auto& options = *request.mutable_options();
  options.mutable_spans()->set_chunk_tokens(3);
  const std::vector<float> rows = NaiveRows({2, 5, 6, 7, 3});
  const auto row = [&](int i) {
    return std::vector<float>(rows.begin() + i * kHidden, rows.begin() + (i + 1) * kHidden);
  };
  for (const auto& [pooling, expected] : {std::pair(v1::POOLING_CLS, row(1)),
                                          {v1::POOLING_LAST, row(3)},
                                          {v1::POOLING_MAX, row(3)},
                                          {v1::POOLING_MEAN, Mean(rows, 1, 4)}}) {
    options.mutable_spans()->set_pooling(pooling);
    options.set_normalize(false);
    EXPECT_EQ(FloatsOf(EncodeOne(server, request).span_vectors()), expected);
    options.set_normalize(true);
    double squares = 0;
    for (const float value : expected) squares += double{value} * value;
    const std::vector<float> scaled = FloatsOf(EncodeOne(server, request).span_vectors());
    for (int c = 0; c < kHidden; ++c) {
      EXPECT_NEAR(scaled[c], expected[c] / std::sqrt(squares), 1e-6);
    }
  }
}

// "a b c ..." of so many letters, whose ids are 5, 6, 7, ...
std::string Letters(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    if (i > 0) text += ' ';
    text += static_cast<char>('a' + i);
  }
  return text;
}

// What windows of 5 letters, 2 apart, of so many letters are merged into. By the definition: the
// window in which a token is farthest from an edge, the earlier of equals.
std::vector<float> NaiveMerge(int letters, float offset = 0) {
  constexpr int kRoom = 5, kStride = 2;
  std::vector<float> merged;
  const auto add = [&](int id, int row) {
    for (int c = 0; c < kHidden; ++c) {
      merged.push_back(offset + static_cast<float>(id) +
                       kNumbers.row_step * static_cast<float>(row) +
                       kNumbers.column_step * static_cast<float>(c));
    }
  };
  add(2, 0);
  int last_end_row = 0;
  for (int token = 0; token < letters; ++token) {
    int best = -1, row = 0;
    for (int begin = 0;; begin += kStride) {
      const int end = std::min(begin + kRoom, letters);
      const int edge = std::min(token - begin, end - 1 - token);
      if (token >= begin && token < end && edge > best) {
        best = edge;
        row = 1 + token - begin;
      }
      last_end_row = 1 + end - begin;
      if (end == letters) break;
    }
    add(5 + token, row);
  }
  add(3, last_end_row);
  return merged;
}

v1::EncodeRequest WindowRequest(int letters) {
  v1::EncodeRequest request = TextRequest(Letters(letters));
  request.mutable_options()->set_return_token_vectors(true);
  request.mutable_options()->mutable_windows()->set_length(7);
  return request;
}

TEST(WindowTest, TokenVectorsAndLayersAreMergedAndPooledTogether) {
  NumberedServer server;
  v1::EncodeRequest request = WindowRequest(12);
  request.mutable_options()->mutable_hidden_layers()->add_layers(1);
  const v1::Encoding encoding = EncodeOne(server, request);
  EXPECT_EQ(server.model().computed(), 5);
  EXPECT_EQ(encoding.token_count(), 14);
  EXPECT_FALSE(encoding.truncated());
  std::vector<std::pair<int, int>> windows;
  for (const v1::Window& window : encoding.windows()) {
    windows.emplace_back(window.first_token(), window.end_token());
  }
  EXPECT_THAT(windows, ElementsAre(std::pair(1, 6), std::pair(3, 8), std::pair(5, 10),
                                   std::pair(7, 12), std::pair(9, 13)));
  const std::vector<float> merged = NaiveMerge(12);
  EXPECT_EQ(FloatsOf(encoding.token_vectors()), merged);
  EXPECT_EQ(FloatsOf(encoding.hidden_layers(0)), NaiveMerge(12, LayerOffset(1)));
  ExpectNear(FloatsOf(encoding.pooled()), Mean(merged, 0, 14));
  EXPECT_EQ(encoding.tokens().ids_size(), 14);
  EXPECT_EQ(encoding.tokens().starts(13 - 1), 22);
}

TEST(WindowTest, EveryPoolingIsOverTheMergedVectors) {
  NumberedServer server;
  v1::EncodeRequest request = WindowRequest(12);
  auto& options = *request.mutable_options();
  options.set_return_token_vectors(false);
  const std::vector<float> rows = NaiveMerge(12);
  const std::vector<float> first(rows.begin(), rows.begin() + kHidden);
  std::vector<float> pooler = first;
  for (float& value : pooler) value = -value;
  std::vector<float> most = first;
  for (size_t i = 0; i < rows.size(); ++i) {
    most[i % kHidden] = std::max(most[i % kHidden], rows[i]);
  }
  for (const auto& [pooling, expected] :
       {std::pair(v1::POOLING_CLS, first),
        {v1::POOLING_LAST, std::vector<float>(rows.end() - kHidden, rows.end())},
        {v1::POOLING_MAX, most},
        {v1::POOLING_POOLER, pooler}}) {
    options.set_pooling(pooling);
    options.clear_normalize();
    EXPECT_EQ(FloatsOf(EncodeOne(server, request).pooled()), expected) << pooling;
    options.set_normalize(true);
    double squares = 0;
    for (const float value : expected) squares += double{value} * value;
    const std::vector<float> scaled = FloatsOf(EncodeOne(server, request).pooled());
    for (int c = 0; c < kHidden; ++c) {
      EXPECT_NEAR(scaled[c], expected[c] / std::sqrt(squares), 1e-6);
    }
  }
}

TEST(WindowTest, ChunksAreOverTheMergedVectorsAndSparseIsTheLargestOfAll) {
  NumberedServer server;
  v1::EncodeRequest request = WindowRequest(9);
  auto& options = *request.mutable_options();
  options.mutable_spans()->set_kind(v1::SPAN_KIND_CHUNKS);
  options.mutable_spans()->set_chunk_tokens(4);
  options.set_return_sparse(true);
  options.set_return_multi_vector(true);
  options.set_drop_special_tokens(true);
  const v1::Encoding encoding = EncodeOne(server, request);
  const std::vector<float> merged = NaiveMerge(9);
  EXPECT_THAT(SpansOf(encoding),
              ElementsAre(Span(0, 7, 0, 1, 5), Span(8, 15, 0, 5, 9), Span(16, 17, 0, 9, 10)));
  std::vector<float> means = Mean(merged, 1, 5);
  for (const auto& [begin, end] : {std::pair(5, 9), {9, 10}}) {
    const std::vector<float> mean = Mean(merged, begin, end);
    means.insert(means.end(), mean.begin(), mean.end());
  }
  ExpectNear(FloatsOf(encoding.span_vectors()), means);
  EXPECT_EQ(FloatsOf(encoding.token_vectors()),
            std::vector<float>(merged.begin() + kHidden, merged.end() - kHidden));
  EXPECT_THAT(encoding.multi_vectors().shape(), ElementsAre(9, 3));
  const std::vector<float> multi = FloatsOf(encoding.multi_vectors());
  for (size_t row = 0; row < 9; ++row) {  // x, -2x, x of length 1: 1/sqrt(6).
    EXPECT_NEAR(multi[row * 3], 1 / std::sqrt(6.0), 1e-6);
  }
  // Windows [0, 5), [2, 7), [4, 9): [SEP] is the 7th row of each, "e" the 5th, 3rd and 1st letter.
  const auto weight_of = [&](int id) {
    for (int i = 0; i < encoding.sparse().ids_size(); ++i) {
      if (encoding.sparse().ids(i) == id) return encoding.sparse().weights(i);
    }
    return 0.0f;
  };
  EXPECT_EQ(weight_of(3), StubModel::Sparse(6));
  EXPECT_EQ(weight_of(5 + 4), StubModel::Sparse(5));
  EXPECT_EQ(weight_of(5 + 8), StubModel::Sparse(5));
}

TEST(WindowTest, WhatFitsInOneIsThePlainCallToTheBit) {
  NumberedServer server;
  v1::EncodeRequest request = WindowRequest(5);
  request.mutable_options()->set_normalize(true);
  v1::Encoding with = EncodeOne(server, request);
  request.mutable_options()->clear_windows();
  v1::Encoding without = EncodeOne(server, request);
  with.clear_timings();
  without.clear_timings();
  EXPECT_THAT(with.windows(), IsEmpty());
  EXPECT_EQ(with.SerializeAsString(), without.SerializeAsString());
}

TEST(WindowTest, DefaultsAreTheMaximumLengthAndHalfOfIt) {
  NumberedServer server;
  v1::EncodeRequest request = TextRequest(Letters(26));
  request.mutable_options()->set_max_length(12);
  request.mutable_options()->mutable_windows();
  const v1::Encoding encoding = EncodeOne(server, request);
  // 10 letters each, 5 apart: 0, 5, 10, 15, 20 reaches the end with 6.
  ASSERT_EQ(encoding.windows_size(), 5);
  EXPECT_EQ(encoding.windows(1).first_token(), 6);
  EXPECT_EQ(encoding.windows(0).end_token(), 11);
  EXPECT_EQ(encoding.windows(4).end_token(), 27);
}

TEST(WindowTest, WithoutSpecialTokensAWindowIsAllText) {
  NumberedServer server;
  v1::EncodeRequest request = TextRequest(Letters(8));
  request.mutable_options()->set_add_special_tokens(false);
  request.mutable_options()->mutable_windows()->set_length(4);
  request.mutable_options()->mutable_windows()->set_stride(4);
  const v1::Encoding encoding = EncodeOne(server, request);
  ASSERT_EQ(encoding.windows_size(), 2);
  EXPECT_EQ(encoding.windows(0).first_token(), 0);
  EXPECT_EQ(encoding.windows(1).end_token(), 8);
}

}  // namespace
}  // namespace attnd
