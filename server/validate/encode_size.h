#pragma once

#include <cstdint>

#include "core/model/task.h"
#include "server/validate/encode_input.h"
#include "server/validate/encode_options.h"
#include "server/validate/served_model.h"

namespace attnd {

// Upper bound of what an Encoding's small fields, with the headers of its pooled and token vectors,
// and an EncodeResponse around it take on the wire.
inline constexpr int64_t kEncodingBytes = 128;
inline constexpr int64_t kResponseBytes = 64 + 2 * static_cast<int64_t>(kNameBytesMax);

// What a task of `rows` rows keeps alive while it waits: its input, and its outputs once they are
// allocated.
int64_t TaskBytes(const EncodeTask& task, int64_t rows, const ModelInfo& info);

// Upper bound of what these tokens take in an Encoding.
int64_t TokensBytes(const Tokenized& tokens);

// Of all of the vocabulary's tokens, where the model has a head that may name any of them; else of
// none.
VocabularySizes VocabularyBytes(const ServedModel& model);

// What one row of token vectors takes in an Encoding.
int64_t RowBytes(const EncodeChoices& choices);

// Upper bound of what an Encoding takes without rows of token vectors.
int64_t FixedBytes(const PlannedInput& input, const EncodeChoices& choices,
                   const ServedModel& model);

}  // namespace attnd
