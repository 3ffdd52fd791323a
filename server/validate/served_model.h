#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "attnd/v1/encoder.pb.h"
#include "core/input/tokenizer.h"
#include "core/model/model.h"
#include "server/validate/vocabulary.h"

namespace attnd {

// A loaded model as the services see it: facts and pure functions, so that tests can serve one that
// isn't there. What the functions refer to must outlive the services. Safe to use from many
// threads.
struct ServedModel {
  std::string name;
  ModelInfo info;
  std::string worst_text;      // What CalibrationTexts calls the worst of info.accuracy.
  std::string isa;             // "avx2"; oneDNN's name of it.
  std::string onednn_version;  // "2.6.3"

  // As Tokenizer::Encode and TokenOf. Empty if the model's directory has no tokenizer.
  std::function<absl::StatusOr<Tokenized>(
      std::string_view text, std::optional<std::string_view> pair, const TokenizeOptions& options)>
      tokenize;
  std::function<std::optional<std::string>(int32_t id)> token_of;
  // VocabularyBytes of this; the server fills it in.
  VocabularySizes vocabulary_bytes;
  // As Tokenizer::Decode. Empty without a tokenizer.
  std::function<absl::StatusOr<std::string>(std::span<const int32_t> ids, bool skip_special_tokens)>
      decode;
  // The id of the tokenizer's mask token; absent if it has none.
  std::optional<int32_t> mask_id;

  // As Model::SizeOutputs.
  std::function<void(EncodeTask& task)> size_outputs;
};

// Which model answered.
void WriteModel(const ServedModel& model, v1::ModelRef& ref);

}  // namespace attnd
