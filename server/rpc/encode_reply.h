#pragma once

#include <cstdint>

#include "attnd/v1/encoder.pb.h"
#include "core/model/task.h"
#include "server/validate/encode_input.h"
#include "server/validate/encode_options.h"
#include "server/validate/served_model.h"

namespace attnd {

// What is done to a task's outputs before any of them is written: the pooled vector as it is sent,
// multi-vectors of length 1. `task` holds the whole input.
void FinishOutputs(const EncodeChoices& choices, const ModelInfo& info, EncodeTask& task);

// Writes all of an Encoding but its timings and its token vectors: at most
// PlannedInput::fixed_bytes.
void WriteFixed(const EncodeChoices& choices, const PlannedInput& input, const EncodeTask& task,
                const ServedModel& model, v1::Encoding& encoding);

// Writes `count` rows of token vectors from `first` on, of those that are sent.
struct RowRange {
  int64_t first = 0;
  int64_t count = 0;
};
void WriteRows(const EncodeChoices& choices, const PlannedInput& input, const EncodeTask& task,
               int32_t hidden, RowRange range, v1::Encoding& encoding);

}  // namespace attnd
