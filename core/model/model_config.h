#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/model_dir.h"
#include "core/model/arch.h"
#include "core/tensor/weights.h"

namespace attnd {

inline constexpr uint64_t kConfigBytesMax = 1u << 20;
inline constexpr uint64_t kTokenizerBytesMax = 64u << 20;
// They repeat thousands of added tokens, and may hold a chat template.
inline constexpr uint64_t kMaskFileBytesMax = 8u << 20;
inline constexpr size_t kPromptsMax = 64;
inline constexpr size_t kPromptBytesMax = 4u << 10;
inline constexpr size_t kPromptNameBytesMax = 256;

// What a model directory says about its model, besides weights and tokenizer.
struct ModelConfig {
  ArchSpec arch;
  // From the sentence-transformers files; without them the mean of all rows, not normalized.
  Pooling pooling = Pooling::kMean;
  bool normalize = false;
  int32_t length_default =
      0;  // max_seq_length of sentence_bert_config.json, else the position table's length.
  // From config_sentence_transformers.json; the default is the name of one of them, or empty.
  std::map<std::string, std::string> prompts;
  std::string default_prompt_name;
  // The files that the above was read from, sorted.
  std::vector<std::string> files;
};

// Reads config.json and, where present, modules.json, the pooling module's config,
// sentence_bert_config.json and config_sentence_transformers.json. What would change answers and is
// not supported (another module, another pooling, lower-casing outside the tokenizer) is an error
// that names file and field.
absl::StatusOr<ModelConfig> ReadModelConfig(const ModelDir& dir);

// What a checkpoint's answers follow from besides its files.
struct DigestChoices {
  std::string_view precision;       // How it is computed: "f32".
  HeadKind head = HeadKind::kNone;  // That the checkpoint has.
  // What an int8 model is calibrated on (Model::Options).
  std::span<const std::vector<int32_t>> calibration = {};
};
// SHA-256, as 64 hexadecimal digits, over all that changes an answer: the precision, the
// calibration where there is one, and name, size and content of tokenizer.json, the weight files
// and `config.files`; with HeadKind::kVocabulary also of the files that name the mask token, where
// they are there. Its first 16 digits are the model's version.
absl::StatusOr<std::string> ModelDigest(const ModelDir& dir, const ModelConfig& config,
                                        const Weights& weights, const DigestChoices& choices);

}  // namespace attnd
