#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "core/input/tokenizer.h"
#include "core/model/model.h"
#include "server/calibration.h"
#include "server/validate/served_model.h"

namespace attnd {

// A model and its tokenizer, as they were loaded.
struct LoadedModel {
  std::unique_ptr<const Model> model;
  std::unique_ptr<const Tokenizer> tokenizer;
  std::optional<int32_t> mask_id;  // Of a masked-language model.
  // Of a model that is not f32, the text that its accuracy is worst at.
  std::string worst_text;         // As CalibrationTexts::NameOf says it,
  std::string worst_description;  // and as Describe does.
};

// What a model that is not f32 is measured over, and an int8 one fitted to, and how near to f32
// each of these texts must come.
struct AccuracyDemand {
  CalibrationTexts texts = CalibrationTexts::BuiltIn();
  double cosine_min = 0;
};

// Reads a model's directory; the tokenizer's ids are within the model's vocabulary. Of `options`,
// `calibration` is made here, of the demand's texts; a model that does not meet the demand is
// kFailedPrecondition.
absl::StatusOr<LoadedModel> LoadModel(const std::string& path, Model::Options options,
                                      const AccuracyDemand& demand = {});

// All that LoadModel checks, but for the weights' numbers.
absl::Status CheckModel(const std::string& path);

// What the services see of it, under that name. `loaded` must outlive the server.
ServedModel Serve(const std::string& name, const LoadedModel& loaded);

}  // namespace attnd
