#pragma once

#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "client/types.h"

namespace attnd::client {

// The options of Encode as flags. What no flag names stays absent.
void AddEncodeFlags(CLI::App& command, EncodeOptions& options);

// Those of them that make one vector of a text: model, pooling, lengths, windows, prompts,
// dimensions.
void AddPooledVectorFlags(CLI::App& command, EncodeOptions& options);

// "words", "sentences", "chunks:N" or "chunks:N:OVERLAP".
absl::StatusOr<SpanOptions> ParseSpans(const std::string& text);
// "A-B".
absl::StatusOr<TextRange> ParseRange(const std::string& text);

}  // namespace attnd::client
