#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "attnd/v1/tokenizer.pb.h"
#include "server/validate/limits.h"
#include "server/validate/served_model.h"

namespace attnd {

// TokenizerService: answered where it is asked, without the engine.
struct Tokenizations {
  v1::TokenizeResponse response;
  std::vector<double> tokenize_seconds;  // One for each input.
};
absl::StatusOr<Tokenizations> Tokenize(const v1::TokenizeRequest& request, const ServedModel& model,
                                       const Limits& limits);

// No more ids in all than a request's text may have bytes, for a token stands for at least one.
absl::StatusOr<v1::DetokenizeResponse> Detokenize(const v1::DetokenizeRequest& request,
                                                  const ServedModel& model, const Limits& limits);

}  // namespace attnd
