#pragma once

#include <ostream>
#include <span>
#include <string>

#include "client/types.h"

// An encoding for a person to read. `numbers` is how many of each vector are shown.
namespace attnd::client {

// "[  0.1000  -0.2000 ...]".
std::string FirstNumbers(std::span<const float> values, int numbers);

// A line for each token: string, id, offsets, and its vector where there is one.
void PrintTokens(const Encoding& encoding, int numbers, std::ostream& out);

// What the encoding has besides tokens and the pooled vector: hidden layers, spans, multi-vectors,
// the largest sparse weights, windows. Nothing for what it has not.
void PrintRepresentations(const Encoding& encoding, int numbers, std::ostream& out);

}  // namespace attnd::client
