#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "attnd/v1/input.pb.h"
#include "core/input/tokenizer.h"
#include "core/model/task.h"
#include "server/validate/limits.h"
#include "server/validate/served_model.h"

namespace attnd {

// How inputs are read; truncation and maximum length hold for ids and embeddings too.
struct InputChoices {
  TokenizeOptions tokenize;
  bool describe_ids = false;  // Fill `tokens` for an input of token ids as well.
};

// One input after its checks: a task whose input is set, and nothing else.
struct CheckedInput {
  EncodeTask task;
  Tokenized tokens;  // Empty for input embeddings.
  int32_t rows = 0;
  bool truncated = false;
};

// Checks and tokenizes one input; errors begin with `field`, its path in the request.
absl::StatusOr<CheckedInput> ReadInput(const v1::Input& input, const InputChoices& choices,
                                       const ServedModel& model, const Limits& limits,
                                       const std::string& field);
// The tokens of a text, or of a pair of texts; there may be none. Sent as token_ids they are the
// same input: types are 0 for a model that has none. The model has a tokenizer.
absl::StatusOr<Tokenized> TokenizeText(std::string_view text, std::optional<std::string_view> pair,
                                       const TokenizeOptions& options, const ServedModel& model,
                                       const Limits& limits, std::string_view field);
// As ReadInput, for a text or a pair of texts.
absl::StatusOr<CheckedInput> ReadText(std::string_view text, std::optional<std::string_view> pair,
                                      const InputChoices& choices, const ServedModel& model,
                                      const Limits& limits, std::string_view field);

}  // namespace attnd
