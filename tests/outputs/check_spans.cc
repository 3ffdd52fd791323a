// Words, sentences, ranges that the caller names, and chunks.
#include "core/base/strings.h"
#include "gtest/gtest.h"
#include "tests/outputs/checks.h"
#include "tests/outputs/naive.h"
#include "tests/outputs/tensor_check.h"

namespace attnd::golden {
namespace {

constexpr Chunking kChunking{.tokens = 4, .overlap = 1};

std::vector<Part> PartsOf(const GoldenInput& input, v1::SpanKind kind) {
  switch (kind) {
    case v1::SPAN_KIND_WORDS:
      return Words(input.places);
    case v1::SPAN_KIND_SENTENCES:
      return Sentences(input);
    case v1::SPAN_KIND_RANGES:
      return SomeRanges(input);
    default:
      return Chunks(input, kChunking);
  }
}

struct SpanRequest {
  v1::SpanKind kind = v1::SPAN_KIND_WORDS;
  v1::Pooling pooling = v1::POOLING_MEAN;
  bool normalize = false;
};

void SetSpans(const SpanRequest& wanted, const std::vector<GoldenInput>& inputs,
              v1::EncodeRequest& request) {
  request.mutable_options()->set_normalize(wanted.normalize);
  v1::Spans& spans = *request.mutable_options()->mutable_spans();
  spans.set_kind(wanted.kind);
  spans.set_pooling(wanted.pooling);
  if (wanted.kind == v1::SPAN_KIND_CHUNKS) {
    spans.set_chunk_tokens(kChunking.tokens);
    spans.set_chunk_overlap(kChunking.overlap);
  }
  if (wanted.kind != v1::SPAN_KIND_RANGES) return;
  for (const GoldenInput& input : inputs) {
    v1::Ranges& ranges = *request.add_ranges();
    for (const Part& part : SomeRanges(input)) {
      v1::Range& range = *ranges.add_ranges();
      range.set_start(part.start);
      range.set_end(part.end);
      range.set_text_index(part.text);
    }
  }
}

void CheckOneSpan(const v1::Span& span, const Part& part) {
  EXPECT_EQ(span.start(), part.start);
  EXPECT_EQ(span.end(), part.end);
  EXPECT_EQ(span.text_index(), part.text);
  std::vector<size_t> tokens;
  for (int token = span.first_token(); token < span.end_token(); ++token) {
    tokens.push_back(static_cast<size_t>(token));
  }
  EXPECT_EQ(tokens, part.tokens);
}

void CheckKind(ServedEncoder& encoder, const std::vector<GoldenInput>& inputs,
               const SpanRequest& wanted) {
  const auto encodings =
      Ask(encoder, inputs, [&](v1::EncodeRequest& request) { SetSpans(wanted, inputs, request); });
  for (size_t i = 0; i < encodings.size(); ++i) {
    SCOPED_TRACE(StrCat(inputs[i].name, ": ", v1::SpanKind_Name(wanted.kind), ", ",
                        v1::Pooling_Name(wanted.pooling), wanted.normalize ? " scaled" : ""));
    const std::vector<Part> parts = PartsOf(inputs[i], wanted.kind);
    CheckSpansAre(encodings[i], parts);
    const Vectors vectors = PoolParts(inputs[i].last, parts, wanted.pooling);
    EXPECT_EQ(Difference(encodings[i].span_vectors(), v1::DATA_TYPE_FLOAT32,
                         wanted.normalize ? Normalized(vectors) : vectors, inputs[i].tolerance),
              "");
  }
}

}  // namespace

void CheckSpansAre(const v1::Encoding& encoding, const std::vector<Part>& parts) {
  ASSERT_EQ(encoding.spans_size(), static_cast<int>(parts.size()));
  for (int i = 0; i < encoding.spans_size(); ++i) {
    SCOPED_TRACE(StrCat("span ", i));
    CheckOneSpan(encoding.spans(i), parts[i]);
  }
}

void CheckSpans(ServedEncoder& encoder, const std::vector<GoldenInput>& inputs) {
  for (const auto kind :
       {v1::SPAN_KIND_WORDS, v1::SPAN_KIND_SENTENCES, v1::SPAN_KIND_RANGES, v1::SPAN_KIND_CHUNKS}) {
    // What has no text has chunks alone.
    if (!inputs.front().has_text() && kind != v1::SPAN_KIND_CHUNKS) continue;
    for (const auto pooling :
         {v1::POOLING_CLS, v1::POOLING_MEAN, v1::POOLING_MAX, v1::POOLING_LAST}) {
      for (const bool normalize : {false, true}) {
        CheckKind(encoder, inputs, {.kind = kind, .pooling = pooling, .normalize = normalize});
      }
    }
  }
}

}  // namespace attnd::golden
