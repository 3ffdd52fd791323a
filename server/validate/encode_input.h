#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "attnd/v1/encoder.pb.h"
#include "core/batch/job.h"
#include "core/input/tokenizer.h"
#include "server/represent/spans.h"
#include "server/represent/windows.h"
#include "server/validate/encode_options.h"
#include "server/validate/limits.h"
#include "server/validate/served_model.h"

namespace attnd {

// One input of a request.
struct GivenInput {
  const v1::Input& input;
  std::string field;                   // "inputs[3]"
  const v1::Ranges* ranges = nullptr;  // SpanKind::kRanges, and only then;
  std::string ranges_field = {};       // "ranges[3]"
};

// What stays behind of an input for the reply, once its jobs have gone to the engine.
struct PlannedInput {
  int32_t token_count = 0;
  bool truncated = false;
  double tokenize_seconds = 0;
  Tokenized tokens;  // Empty for input embeddings, and unless return_tokens.
  // The tokens whose rows are sent, of token vectors and multi-vectors. Absent: all.
  std::optional<std::vector<int32_t>> kept_tokens;
  std::vector<TokenSpan> spans;
  // Where the text is read in several windows, each of which is a job: the windows, and where the
  // row of each token comes from. Else empty.
  std::vector<TokenWindow> windows;
  std::vector<RowSource> merge_order;
  int64_t fixed_bytes = 0;  // Upper bound of its Encoding without rows of token vectors.
  int64_t held_bytes = 0;   // Of all of this, and of what its windows are merged into.

  size_t job_count() const { return windows.empty() ? 1 : windows.size(); }
  int64_t rows_sent() const {
    return kept_tokens ? static_cast<int64_t>(kept_tokens->size()) : token_count;
  }
};

struct InputPlan {
  PlannedInput input;
  std::vector<std::unique_ptr<Job>> jobs;  // input.job_count()
};

// Checks and tokenizes one input, finds its spans and windows, and makes its jobs. Fields that it
// leaves to the caller: tokenize_seconds.
absl::StatusOr<InputPlan> PlanInput(const GivenInput& given, const EncodeChoices& choices,
                                    const ServedModel& model, const Limits& limits);

}  // namespace attnd
