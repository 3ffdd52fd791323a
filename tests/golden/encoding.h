#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/golden/backend.h"
#include "tests/golden/case_file.h"

namespace attnd::golden {

// Where the tensors of one input stand in those of the case.
struct Slot {
  std::optional<int64_t>
      item;  // Its index in the first dimension; absent: the tensors have no such dimension.
  int64_t rows = 0;  // Those with a mask of 1; what follows is padding.
};

struct Input {
  std::vector<int32_t> ids, types;
  Slot slot;
};

// Layers that a case has tensors of.
struct Layers {
  std::vector<int32_t> hidden;     // N of `hidden_states.N`.
  std::vector<int32_t> attention;  // N of `attentions.N`, whose layer is N + 1 in a task.
};
Layers LayersOf(const std::vector<std::string>& tensors);

// All that a request can ask for about one input.
struct Encoding {
  int64_t rows = 0, hidden = 0, heads = 0;
  std::vector<float> last;                           // [rows, hidden]
  std::map<int32_t, std::vector<float>> layers;      // Each [rows, hidden].
  std::map<int32_t, std::vector<float>> attentions;  // Each [heads, rows, rows].
  std::vector<float> pooled;                         // By the model's own pooling.
  std::vector<float> pooler;                         // Empty if the model has none.
  std::vector<float> logits;  // As EncodeTask::logits_out, of every row; empty without a head.
};

// One batch of all inputs, through the engine. Empty, and the case failed, if the engine refuses.
std::vector<Encoding> Encode(const std::vector<Input>& inputs, const Layers& layers,
                             Backend& backend, CaseResult& result);

// Compares one tensor of the case with an input's encoding, unless it is an input. A name that
// nothing compares fails the case.
void CheckTensor(const CaseFile& file, const Json& item, const std::string& name, const Slot& slot,
                 const Encoding& encoding, const ModelInfo& info, CaseResult& result);

}  // namespace attnd::golden
