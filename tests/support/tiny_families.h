#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/model/arch.h"
#include "nlohmann/json.hpp"
#include "tests/support/tiny_model.h"

namespace attnd::testing {

// A model of any family and with any head, small enough to make in a test, with random weights that
// depend on the seed alone. Tensors and config fields have the names that the family's checkpoints
// have.
struct TinyModel {
  std::string family = "bert";  // config.json's model_type.
  HeadKind head = HeadKind::kNone;
  int32_t hidden = 16;
  int32_t layers = 2;  // ModernBERT: the first, and each third after it, is global.
  int32_t heads = 2;
  int32_t inner = 32;
  int32_t positions = 64;       // The longest sequence; a table may have more rows. T5 has none.
  int32_t local_attention = 8;  // ModernBERT: half of it to each side.
  int32_t labels = 3;
  bool pooler = true;          // Of the families that have one, without a head.
  bool gated = false;          // T5: two matrices before the activation, as in version 1.1.
  std::string dtype = "F32";   // F32, F16 or BF16.
  std::string prefix = kAuto;  // What goes before the encoder's names.
  uint32_t seed = 1;

  // None without a head; with one, the name that the family's classes have for their encoder.
  static constexpr char kAuto[] = "auto";
};

std::vector<RawTensor> TinyTensors(const TinyModel& model);
nlohmann::json TinyConfig(const TinyModel& model);
// Writes config.json, model.safetensors and tokenizer.json (TinyTokenizer) into `dir`, which
// exists.
void WriteTinyModel(const std::string& dir, const TinyModel& model);

// Every family, and every head that the reference has a class for, at the default sizes.
std::vector<TinyModel> TinyModels();
// "modernbert_vocabulary", for the names of tests.
std::string NameOf(const TinyModel& model);

}  // namespace attnd::testing
