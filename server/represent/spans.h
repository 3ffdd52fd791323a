#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/input/tokenizer.h"
#include "core/model/pooling.h"
#include "core/tensor/matrix.h"
#include "server/represent/text.h"

namespace attnd {

// Tokens that follow each other, [begin, end).
struct TokenRun {
  int32_t begin = 0;
  int32_t end = 0;
};
// Those of one text, which have that index; empty if there are none.
TokenRun RunOf(const Tokenized& tokens, int32_t text_index);

// A part of an input: where it stands in its text, and which tokens are of it, [first_token,
// end_token). Special tokens and those of a prompt are of none.
struct TokenSpan {
  TextRange range;  // {0, 0, -1} where there is no text.
  int32_t first_token = 0;
  int32_t end_token = 0;
  bool operator==(const TokenSpan&) const = default;
};

// Runs of `tokens` tokens, of which a run shares `overlap`, fewer, with the one before.
struct Chunking {
  int32_t tokens = 1;
  int32_t overlap = 0;
};

// All below take tokens with offsets.
//
// One span a word, in the order of the text.
std::vector<TokenSpan> WordSpans(const Tokenized& tokens);
// One span for each range, in their order: the tokens that overlap it. Tokens follow each other in
// their text.
std::vector<TokenSpan> RangeSpans(const Tokenized& tokens, std::span<const TextRange> ranges);
// Chunks of each text; the last of a text may have fewer tokens.
std::vector<TokenSpan> ChunkSpans(const Tokenized& tokens, const Chunking& chunking);
// Chunks of an input of `count` tokens that has no text.
std::vector<TokenSpan> ChunkSpans(int32_t count, const Chunking& chunking);

// The vectors of all spans, [spans, rows.columns]; zeros for a span without tokens. Scaled to
// length 1 with `normalize`.
struct SpanPooling {
  Pooling pooling = Pooling::kMean;
  bool normalize = false;
};
std::vector<float> PoolSpans(ConstMatrix rows, std::span<const TokenSpan> spans,
                             const SpanPooling& pooling);

}  // namespace attnd
