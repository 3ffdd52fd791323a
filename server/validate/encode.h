#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "attnd/v1/encoder.pb.h"
#include "core/batch/job.h"
#include "core/input/tokenizer.h"
#include "server/validate/limits.h"
#include "server/validate/served_model.h"

namespace attnd {

// How the reply travels. One that doesn't fit in one message is refused unless it may be in parts.
enum class ReplyForm { kOneMessage, kParts };

// Upper bound of what an Encoding's small fields and an EncodeResponse around it take on the wire.
inline constexpr int64_t kEncodingBytes = 128;
inline constexpr int64_t kResponseBytes = 64 + 2 * static_cast<int64_t>(kNameBytesMax);

// One input on its way: what goes to the engine, and what stays behind for the reply.
struct EncodePlan {
  bool return_tokens = false;
  // All below: one for each input, in order.
  // Deadline, cancelled, done and the outputs' sizes are the service's to set; `bytes` counts the
  // outputs already.
  std::vector<std::unique_ptr<Job>> jobs;
  std::vector<Tokenized> tokens;  // Empty for input embeddings, and unless return_tokens.
  std::vector<int32_t> token_counts;
  std::vector<bool> truncated;
  std::vector<double> tokenize_seconds;
};

// Upper bound of what these tokens take in an Encoding.
int64_t TokensBytes(const Tokenized& tokens);

// Turns a request into jobs, or says which of its fields is wrong. Everything is checked before the
// engine sees any of it: sizes before tokenization, the reply's size after each input's.
absl::StatusOr<EncodePlan> PlanEncode(const v1::EncodeRequest& request, const ServedModel& model,
                                      const Limits& limits, ReplyForm form);

// UNKNOWN_MODEL unless `name` is empty or the served model's.
absl::Status CheckModelName(std::string_view name, const ServedModel& model);

}  // namespace attnd
