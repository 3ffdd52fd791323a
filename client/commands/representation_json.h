#pragma once

#include <string>

#include "client/types.h"

namespace attnd::client {

// Appends `,"key":value` for what the encoding has besides tokens, token vectors and the pooled
// vector, the keys named as in encoder.proto: "hidden_layers" [layers][tokens][size], "attention"
// [{"layer", "heads", "weights", "scores"}], "spans" [{"start", "end", "text_index", "first_token",
// "end_token"}], "span_vectors", "sparse" {"ids", "weights", "tokens"}, "multi_vectors",
// "kept_tokens", "windows" [[first, end]]. Nothing for what it has not.
void AppendRepresentations(const Encoding& encoding, std::string& out);

// A tensor as nested arrays.
void AppendNested(const Tensor& tensor, std::string& out);

}  // namespace attnd::client
