#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "attnd/v1/encoder.pb.h"
#include "core/input/tokenizer.h"
#include "core/model/arch.h"
#include "server/validate/served_model.h"

namespace attnd {

// EncodeOptions with every default filled in.
struct EncodeChoices {
  std::optional<Pooling> pooling;  // Absent: no pooled vector.
  bool normalize = false;
  bool return_token_vectors = false;
  bool return_tokens = false;
  TokenizeOptions tokenize;  // Truncation and maximum length hold for ids and embeddings too.
};

absl::StatusOr<EncodeChoices> ReadOptions(const v1::EncodeOptions& options,
                                          const ServedModel& model);

}  // namespace attnd
