#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "attnd/v1/encoder.pb.h"
#include "tests/outputs/golden_inputs.h"

// What Encode's outputs are by their definition in the contract, in double precision, out of token
// vectors: written as plainly as can be, and calling nothing of the server.
namespace attnd::golden {

// Not POOLING_POOLER. At least one row.
Vector Pool(const Vectors& rows, v1::Pooling pooling);
Vector FirstOf(const Vector& vector, size_t dimensions);
Vector Normalized(Vector vector);
// The same of each.
Vectors FirstOf(Vectors vectors, size_t dimensions);
Vectors Normalized(Vectors vectors);
// One weight for each column: the largest of log(1 + ReLU(logit)).
Vector Sparse(const Vectors& logits);

// A part of a text: where it stands, and its tokens.
struct Part {
  int32_t start = 0, end = 0;
  int32_t text = 0;
  std::vector<size_t> tokens;
};

// `text` is 1 for the second of a pair.
std::string TextOf(const v1::Input& input, int32_t text);
int32_t CountTexts(const v1::Input& input);
int32_t CountCodePoints(const std::string& text);

std::vector<Part> Words(const std::vector<TokenPlace>& places);
std::vector<Part> Sentences(const GoldenInput& input);
// Some of each text, as a caller may name them: the whole, the ends, the middle, and overlapping.
std::vector<Part> SomeRanges(const GoldenInput& input);
struct Chunking {
  size_t tokens = 1, overlap = 0;
};
std::vector<Part> Chunks(const GoldenInput& input, const Chunking& chunking);
// A vector for each part; zeros for one without tokens.
Vectors PoolParts(const Vectors& rows, const std::vector<Part>& parts, v1::Pooling pooling);

// [begin, end) of the tokens that are not special.
struct Window {
  size_t begin = 0, end = 0;
};
std::vector<Window> CutWindows(const GoldenInput& input, size_t length, size_t stride);
// The vector of each token from the window in which it stands farthest from an edge, the earlier of
// equals. `parts` are the windows' rows, with their special tokens.
Vectors Merge(const GoldenInput& input, const std::vector<Window>& windows,
              const std::vector<Vectors>& parts);

}  // namespace attnd::golden
