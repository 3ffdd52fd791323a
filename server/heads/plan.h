#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "attnd/v1/encoder.pb.h"
#include "attnd/v1/input.pb.h"
#include "core/base/status_macros.h"
#include "core/batch/job.h"
#include "core/input/tokenizer.h"
#include "server/validate/input.h"
#include "server/validate/limits.h"
#include "server/validate/options.h"
#include "server/validate/served_model.h"

namespace attnd {

// What stays behind for the reply while an input is with the engine.
struct HeadInput {
  Tokenized tokens;  // Strings and offsets only where the reply has them.
  int32_t rows = 0;
  bool truncated = false;
  double tokenize_seconds = 0;
};

// A request turned into jobs, one for each input in order unless the method says otherwise. Each
// asks for its logits.
struct HeadPlan {
  // Deadline, cancelled, done and the outputs' sizes are the service's to set; `bytes` counts the
  // outputs already.
  std::vector<std::unique_ptr<Job>> jobs;
  std::vector<HeadInput> inputs;
  int64_t bytes = 0;  // What the plan keeps alive besides its jobs.
};

// Upper bounds of what a reply takes on the wire besides what its method counts: for an input's
// small fields, and for itself.
inline constexpr int64_t kInputReplyBytes = 128;
inline constexpr int64_t kHeadReplyBytes = 64 + 2 * static_cast<int64_t>(kNameBytesMax);

// The jobs of a plan once they are computed, in the plan's order.
using DoneJobs = std::span<const std::unique_ptr<Job>>;
const std::vector<float>& LogitsOf(const Job& job);

// Embeddings have no tokens that could be labelled or filled.
enum class InputKinds { kAll, kWithTokens };

// Reads, checks and tokenizes every input, or says which is wrong. Everything is checked before the
// engine sees any of it. `finish` may ask a task for more, or refuse it.
using FinishTask = absl::FunctionRef<absl::Status(EncodeTask& task, const std::string& field)>;
absl::StatusOr<HeadPlan> PlanHeadInputs(const google::protobuf::RepeatedPtrField<v1::Input>& inputs,
                                        InputKinds kinds, const InputChoices& choices,
                                        const ServedModel& model, const Limits& limits,
                                        FinishTask finish);

// A job that computes `task`'s logits, with the bytes of its input and of those.
std::unique_ptr<Job> MakeJob(EncodeTask task, int32_t rows, const ModelInfo& info);
// Appends a checked input and its job.
void Append(CheckedInput input, double tokenize_seconds, const ModelInfo& info, HeadPlan& plan);

double SecondsSince(Clock::time_point begin);

// Truncation and maximum length; strings and offsets are not asked for.
template <typename Options>
absl::StatusOr<TokenizeOptions> ReadTokenizeOptions(const Options& options, const ModelInfo& info) {
  TokenizeOptions tokenize;
  tokenize.return_strings = false;
  ASSIGN_OR_RETURN(tokenize.truncation, ReadTruncation(options.truncation()));
  ASSIGN_OR_RETURN(tokenize.length_max,
                   ReadMaxLength(IfSet(options.has_max_length(), options.max_length()), info));
  return tokenize;
}

// The parts of replies that all methods have.
void WriteTimings(const JobTimings& from, double tokenize_seconds, v1::Timings& to);
// Of an input's reply: token_count, truncated and timings.
template <typename Reply>
void WriteInput(const HeadInput& input, const Job& job, Reply& reply) {
  reply.set_token_count(input.rows);
  reply.set_truncated(input.truncated);
  WriteTimings(job.timings, input.tokenize_seconds, *reply.mutable_timings());
}

}  // namespace attnd
