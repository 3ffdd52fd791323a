#pragma once

#include "absl/status/status.h"
#include "server/validate/served_model.h"

namespace attnd {

// Methods that not every model can answer.
enum class Ability {
  kClassify,
  kClassifyTokens,
  kRerank,
  kFillMask,
  kAnswer,
  kTokenize,
  kDetokenize,
};

bool Can(Ability ability, const ServedModel& model);

// NOT_SUPPORTED_BY_MODEL unless the model can; the message says what it lacks, and what it can do.
absl::Status CheckCan(Ability ability, const ServedModel& model);

}  // namespace attnd
