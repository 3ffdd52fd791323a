#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "core/base/model_dir.h"
#include "core/input/tokenizer.h"
#include "core/model/model.h"
#include "server/validate/served_model.h"

namespace attnd {

// A model and its tokenizer, as they were loaded.
struct LoadedModel {
  std::unique_ptr<const Model> model;
  std::unique_ptr<const Tokenizer> tokenizer;
  std::optional<int32_t> mask_id;  // Of a masked-language model.
};

// Reads a model's directory; the tokenizer's ids are within the model's vocabulary.
absl::StatusOr<LoadedModel> LoadModel(const std::string& path, const Model::Options& options);

// All that LoadModel checks, but for the weights' numbers.
absl::Status CheckModel(const std::string& path);

// What the services see of it, under that name. `loaded` must outlive the server.
ServedModel Serve(const std::string& name, const LoadedModel& loaded);

// The mask token that a directory names: `mask_token`, a string or an object with `content`, of
// tokenizer_config.json, else of special_tokens_map.json. Absent if neither has one.
absl::StatusOr<std::optional<std::string>> ReadMaskToken(const ModelDir& dir);

}  // namespace attnd
