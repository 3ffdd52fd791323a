#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/model/arch.h"

namespace attnd {

struct KernelChoice {
  std::string layer;           // "attention.qkv"
  std::string implementation;  // "jit_1x1:avx2"
  std::string reason;
};

// How near a model's pooled vectors are to those of the same checkpoint in f32, over some inputs.
struct Accuracy {
  int32_t inputs = 0;
  double cosine_mean = 0;  // Of the two vectors of an input.
  double cosine_min = 0;
  int32_t worst = 0;  // The input that has it, from 0.
  // Of all questions "which of two inputs is nearer to a third", the part that both answer alike;
  // questions whose answers lie closer than 0.01 in f32 are not asked.
  double ranking_agreement = 0;
};

// What was loaded, and how it is computed.
struct ModelInfo {
  std::string family;
  std::string version;  // Digest over all that changes an answer: 16 hexadecimal digits.
  int32_t hidden = 0;
  int32_t layers = 0;
  int32_t heads = 0;
  int32_t vocabulary = 0;
  int32_t token_types = 0;
  int32_t length_max = 0;      // What the position table allows.
  int32_t length_default = 0;  // sentence_bert_config.json, else length_max.
  Pooling pooling = Pooling::kMean;
  bool normalize = false;
  bool has_pooler = false;
  HeadKind head = HeadKind::kNone;
  std::vector<std::string> labels;  // By id, of kSequenceLabels and kTokenLabels.
  ScoreFunction score_function = ScoreFunction::kNone;  // Of kSequenceLabels.
  int32_t projection = 0;                               // Width of a ColBERT projection; 0: none.
  // Texts that an input may begin with, by name, and the name of the one that it begins with when
  // nothing is said; empty: none.
  std::map<std::string, std::string> prompts;
  std::string default_prompt_name;
  std::string dtype;                 // "f32", "bf16", "int8"
  std::optional<Accuracy> accuracy;  // Of what is not f32.
  std::string checkpoint_dtype;      // "F32", "F16", "BF16"
  std::vector<KernelChoice> kernels;
  std::vector<std::string> leftovers;  // Tensors of the checkpoint that nothing uses.
  uint64_t weight_bytes = 0;           // Of the packed weights.
};

}  // namespace attnd
