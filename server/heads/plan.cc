#include "server/heads/plan.h"

#include <chrono>
#include <utility>
#include <variant>

#include "core/base/strings.h"
#include "server/validate/error.h"
#include "server/validate/request.h"

namespace attnd {
namespace {

// Numbers of the head's output for one task.
int64_t LogitCount(const EncodeTask& task, int64_t rows, const ModelInfo& info) {
  const auto labels = static_cast<int64_t>(info.labels.size());
  switch (info.head) {
    case HeadKind::kNone:
      return 0;
    case HeadKind::kSequenceLabels:
      return labels;
    case HeadKind::kTokenLabels:
      return rows * labels;
    case HeadKind::kSpan:
      return rows * 2;
    case HeadKind::kVocabulary:
      return static_cast<int64_t>(task.logit_rows.size()) * info.vocabulary;
  }
  return 0;
}

// In memory.
int64_t BytesOf(const Tokenized& tokens) {
  size_t bytes = (tokens.ids.size() + tokens.types.size() + tokens.text_indices.size() +
                  tokens.word_ids.size()) *
                     sizeof(int32_t) +
                 tokens.offsets.size() * sizeof(Tokenized::Offset) + tokens.special.size() +
                 tokens.strings.size() * sizeof(std::string);
  for (const std::string& token : tokens.strings) bytes += token.size();
  return static_cast<int64_t>(bytes);
}

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

const std::vector<float>& LogitsOf(const Job& job) {
  return std::get<EncodeTask>(job.task).logits_out;
}

double SecondsSince(Clock::time_point begin) { return Seconds(Clock::now() - begin); }

std::unique_ptr<Job> MakeJob(EncodeTask task, int32_t rows, const ModelInfo& info) {
  auto job = std::make_unique<Job>();
  job->rows = rows;
  job->bytes = (task.ids.size() + task.types.size() + task.logit_rows.size()) * sizeof(int32_t) +
               task.embeddings.size() * sizeof(float) +
               static_cast<uint64_t>(LogitCount(task, rows, info)) * sizeof(float);
  task.return_logits = true;
  job->task = std::move(task);
  return job;
}

void Append(CheckedInput input, double tokenize_seconds, const ModelInfo& info, HeadPlan& plan) {
  plan.jobs.push_back(MakeJob(std::move(input.task), input.rows, info));
  plan.bytes += BytesOf(input.tokens);
  plan.inputs.push_back({.tokens = std::move(input.tokens),
                         .rows = input.rows,
                         .truncated = input.truncated,
                         .tokenize_seconds = tokenize_seconds});
}

absl::StatusOr<HeadPlan> PlanHeadInputs(const google::protobuf::RepeatedPtrField<v1::Input>& inputs,
                                        InputKinds kinds, const InputChoices& choices,
                                        const ServedModel& model, const Limits& limits,
                                        FinishTask finish) {
  RETURN_IF_ERROR(CheckNumberOfInputs(inputs.size(), limits, "inputs"));
  RETURN_IF_ERROR(CheckTextBytes(TextBytes(inputs), limits, "inputs"));
  HeadPlan plan;
  for (int i = 0; i < inputs.size(); ++i) {
    const auto begin = Clock::now();
    const std::string field = StrCat("inputs[", i, "]");
    if (kinds == InputKinds::kWithTokens && inputs[i].has_input_embeddings()) {
      return Refuse(v1::ERROR_REASON_INVALID_VALUE, StrCat(field, ".input_embeddings"),
                    "embeddings have no tokens; send a text, two texts or token ids");
    }
    ASSIGN_OR_RETURN(CheckedInput input, ReadInput(inputs[i], choices, model, limits, field));
    RETURN_IF_ERROR(finish(input.task, field));
    Append(std::move(input), SecondsSince(begin), model.info, plan);
  }
  RETURN_IF_ERROR(CheckFitsQueue(NeedOf(plan.jobs), limits, "inputs"));
  return plan;
}

void WriteTimings(const JobTimings& from, double tokenize_seconds, v1::Timings& to) {
  to.set_tokenize_seconds(tokenize_seconds);
  to.set_shared(from.shared);
  to.set_kept(from.kept);
  to.set_queue_seconds(Seconds(from.started - from.submitted));
  to.set_compute_seconds(Seconds(from.finished - from.started));
  to.set_batch_tokens(from.batch_rows);
}

}  // namespace attnd
