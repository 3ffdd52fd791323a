#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "attnd/v1/encoder.pb.h"
#include "core/batch/job.h"
#include "server/validate/encode_input.h"
#include "server/validate/encode_options.h"
#include "server/validate/limits.h"
#include "server/validate/served_model.h"

namespace attnd {

// How the vectors travel. A reply that doesn't fit in one message is refused unless it may be in
// parts. kStay: they don't.
enum class ReplyForm { kOneMessage, kParts, kStay };

// A request on its way: what goes to the engine, and what stays behind for the reply.
struct EncodePlan {
  EncodeChoices choices;
  std::vector<PlannedInput> inputs;  // In order.
  // Those of the first input, then those of the next. Deadline, cancelled, done and the outputs'
  // sizes are the service's to set; `bytes` counts the outputs already.
  std::vector<std::unique_ptr<Job>> jobs;
};

// Turns a request into jobs, or says which of its fields is wrong. Everything is checked before the
// engine sees any of it: sizes before tokenization, the reply's size after each input's.
absl::StatusOr<EncodePlan> PlanEncode(const v1::EncodeRequest& request, const ServedModel& model,
                                      const Limits& limits, ReplyForm form);

// The same for inputs from wherever, at least one, and options that are read. `field` names all of
// the inputs.
absl::StatusOr<EncodePlan> PlanInputs(std::span<const GivenInput> inputs,
                                      const EncodeChoices& choices, const ServedModel& model,
                                      const Limits& limits, ReplyForm form, std::string_view field);

}  // namespace attnd
