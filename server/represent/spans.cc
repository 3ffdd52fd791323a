#include "server/represent/spans.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/layers/pool.h"

namespace attnd {
namespace {

constexpr int32_t kTexts = 2;

TokenSpan SpanOf(const Tokenized& tokens, TokenRun run) {
  return {.range = {.start = tokens.offsets[run.begin].start,
                    .end = tokens.offsets[run.end - 1].end,
                    .text_index = tokens.text_indices[run.begin]},
          .first_token = run.begin,
          .end_token = run.end};
}

// The runs that `run` falls into.
std::vector<TokenRun> Chunks(TokenRun run, const Chunking& chunking) {
  CHECK_THAT(chunking.tokens > 0 && chunking.overlap >= 0 && chunking.overlap < chunking.tokens);
  std::vector<TokenRun> chunks;
  for (int32_t begin = run.begin; begin < run.end; begin += chunking.tokens - chunking.overlap) {
    const int32_t end = begin + std::min(chunking.tokens, run.end - begin);
    chunks.push_back({.begin = begin, .end = end});
    if (end == run.end) break;
  }
  return chunks;
}

}  // namespace

TokenRun RunOf(const Tokenized& tokens, int32_t text_index) {
  const auto& indices = tokens.text_indices;
  const auto begin = std::find(indices.begin(), indices.end(), text_index);
  const auto end = std::find_if(begin, indices.end(), [&](int32_t i) { return i != text_index; });
  return {.begin = static_cast<int32_t>(begin - indices.begin()),
          .end = static_cast<int32_t>(end - indices.begin())};
}

std::vector<TokenSpan> WordSpans(const Tokenized& tokens) {
  CHECK_THAT(tokens.word_ids.size() == tokens.ids.size());
  std::vector<TokenSpan> spans;
  const auto count = static_cast<int32_t>(tokens.ids.size());
  for (int32_t begin = 0, end = 0; begin < count; begin = end) {
    end = begin + 1;
    while (end < count && tokens.word_ids[end] == tokens.word_ids[begin] &&
           tokens.text_indices[end] == tokens.text_indices[begin]) {
      ++end;
    }
    if (tokens.text_indices[begin] >= 0) spans.push_back(SpanOf(tokens, {begin, end}));
  }
  return spans;
}

std::vector<TokenSpan> RangeSpans(const Tokenized& tokens, std::span<const TextRange> ranges) {
  const TokenRun runs[kTexts] = {RunOf(tokens, 0), RunOf(tokens, 1)};
  std::vector<TokenSpan> spans;
  for (const TextRange& range : ranges) {
    CHECK_THAT(range.text_index >= 0 && range.text_index < kTexts);
    const auto offsets = tokens.offsets.begin();
    const auto text_end = offsets + runs[range.text_index].end;
    const auto first = std::partition_point(
        offsets + runs[range.text_index].begin, text_end,
        [&](const Tokenized::Offset& offset) { return offset.end <= range.start; });
    const auto end = std::partition_point(
        first, text_end, [&](const Tokenized::Offset& offset) { return offset.start < range.end; });
    spans.push_back({.range = range,
                     .first_token = static_cast<int32_t>(first - offsets),
                     .end_token = static_cast<int32_t>(end - offsets)});
  }
  return spans;
}

std::vector<TokenSpan> ChunkSpans(const Tokenized& tokens, const Chunking& chunking) {
  std::vector<TokenSpan> spans;
  for (int32_t text = 0; text < kTexts; ++text) {
    for (const TokenRun& chunk : Chunks(RunOf(tokens, text), chunking)) {
      spans.push_back(SpanOf(tokens, chunk));
    }
  }
  return spans;
}

std::vector<TokenSpan> ChunkSpans(int32_t count, const Chunking& chunking) {
  std::vector<TokenSpan> spans;
  for (const TokenRun& chunk : Chunks({.begin = 0, .end = count}, chunking)) {
    spans.push_back(
        {.range = {.text_index = -1}, .first_token = chunk.begin, .end_token = chunk.end});
  }
  return spans;
}

std::vector<float> PoolSpans(ConstMatrix rows, std::span<const TokenSpan> spans,
                             const SpanPooling& pooling) {
  std::vector<float> vectors(spans.size() * static_cast<size_t>(rows.columns));
  float* out = vectors.data();
  for (const TokenSpan& span : spans) {
    if (span.first_token < span.end_token) {
      PoolRows({rows.row(span.first_token), span.end_token - span.first_token, rows.columns,
                rows.stride},
               pooling.pooling, out);
      if (pooling.normalize) NormalizeLength(out, rows.columns);
    }
    out += rows.columns;
  }
  return vectors;
}

}  // namespace attnd
