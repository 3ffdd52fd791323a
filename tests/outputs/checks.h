#pragma once

#include <functional>
#include <vector>

#include "attnd/v1/encoder.pb.h"
#include "tests/outputs/golden_inputs.h"
#include "tests/outputs/naive.h"
#include "tests/outputs/served_encoder.h"

// Each asks an attnd for one kind of output and compares the reply with what the reference's hidden
// states are by definition. What differs fails the test, and names the input.
namespace attnd::golden {

using testing::ServedEncoder;

// The encodings of all inputs, in their order, asked for in one request; `change` is made to it.
// Empty, and the test has failed, if the request is refused.
std::vector<v1::Encoding> Ask(ServedEncoder& encoder, const std::vector<GoldenInput>& inputs,
                              const std::function<void(v1::EncodeRequest&)>& change);

// Layers by their number and from the end, their mean, and side by side.
void CheckLayers(ServedEncoder& encoder, const std::vector<GoldenInput>& inputs,
                 int32_t layer_count);
void CheckPooling(ServedEncoder& encoder, const std::vector<GoldenInput>& inputs);
// Every encoding of pooled, token, span and multi-vectors, of all dimensions and of the first ones.
void CheckEncodings(ServedEncoder& encoder, const std::vector<GoldenInput>& inputs);
// What is left without special tokens, and what the reply says of the tokens.
void CheckKeptTokens(ServedEncoder& encoder, const std::vector<GoldenInput>& inputs);
// Of a masked-language model.
void CheckSparse(ServedEncoder& encoder, const std::vector<GoldenInput>& inputs);
// All kinds of spans with all poolings.
void CheckSpans(ServedEncoder& encoder, const std::vector<GoldenInput>& inputs);
// Windows whose hidden states the reference has.
void CheckWindows(ServedEncoder& encoder, const GoldenWindows& windows);
// Windows of a text that would fit into one, against plain calls: each window's tokens asked for as
// token ids. Vectors that are merged are the same to the bit. `vocabulary` is that of a
// masked-language model; 0 for another.
void CheckPlainWindows(ServedEncoder& encoder, const GoldenInput& input, size_t vocabulary);
// Every two outputs together, and all at once, are those of the requests for one, to the bit.
void CheckCombinations(ServedEncoder& encoder, const GoldenInput& input, size_t vocabulary);

// That the reply's spans are these.
void CheckSpansAre(const v1::Encoding& encoding, const std::vector<Part>& parts);

}  // namespace attnd::golden
