#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "tests/golden/compare.h"
#include "tests/golden/tensors.h"

namespace attnd::golden {

using Json = nlohmann::json;

// `cases/NAME.json` and, where there is one, `cases/NAME.safetensors`.
struct CaseFile {
  std::string name;
  Json header;  // Without the cases.
  std::vector<Json> cases;
  CaseTensors tensors;

  // "models/bert-a"; empty if the cases need no model.
  std::string model() const;
  // The tolerance of the file, or the part of it that is named so, with the case's own `atol`.
  Tolerance ToleranceOf(const Json& item, std::string_view part) const;
  // The tensor `<case id>/<name>`; a missing one fails the case and is empty.
  Tensor TensorOf(const Json& item, std::string_view tensor, CaseResult& result) const;
  bool HasTensor(const Json& item, std::string_view tensor) const;
};

std::string IdOf(const Json& item);

// Names of the case files in `directory`, sorted.
absl::StatusOr<std::vector<std::string>> ListCaseFiles(const std::string& directory);
absl::StatusOr<CaseFile> LoadCaseFile(const std::string& directory, const std::string& name);

}  // namespace attnd::golden
