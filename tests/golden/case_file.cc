#include "tests/golden/case_file.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <utility>

#include "core/base/status_macros.h"
#include "core/base/strings.h"

namespace attnd::golden {

std::string IdOf(const Json& item) { return item.at("id").get<std::string>(); }

std::string CaseFile::model() const {
  const Json model = header.value("model", Json());
  return model.is_string() ? model.get<std::string>() : "";
}

Tolerance CaseFile::ToleranceOf(const Json& item, std::string_view part) const {
  const Json& whole = header.at("tolerance");
  const auto named = whole.find(part);
  const Json& chosen = named == whole.end() ? whole : *named;
  return {.absolute = item.value("atol", chosen.at("atol").get<double>()),
          .relative = chosen.at("rtol").get<double>()};
}

Tensor CaseFile::TensorOf(const Json& item, std::string_view tensor, CaseResult& result) const {
  absl::StatusOr<Tensor> read = tensors.Read(StrCat(IdOf(item), "/", tensor));
  if (read.ok()) return *std::move(read);
  result.Fail(std::string(read.status().message()));
  return {};
}

bool CaseFile::HasTensor(const Json& item, std::string_view tensor) const {
  return tensors.Has(StrCat(IdOf(item), "/", tensor));
}

absl::StatusOr<std::vector<std::string>> ListCaseFiles(const std::string& directory) {
  std::error_code error;
  std::filesystem::directory_iterator entries(std::filesystem::path(directory) / "cases", error);
  if (error) return absl::NotFoundError(StrCat(directory, "/cases: ", error.message()));
  std::vector<std::string> names;
  for (const auto& entry : entries) {
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem());
  }
  if (names.empty()) return absl::NotFoundError(StrCat(directory, "/cases: no case file"));
  std::ranges::sort(names);
  return names;
}

absl::StatusOr<CaseFile> LoadCaseFile(const std::string& directory, const std::string& name) {
  const std::string path = StrCat(directory, "/cases/", name);
  std::ifstream stream(path + ".json");
  Json json = Json::parse(stream, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("cases")) {
    return absl::DataLossError(StrCat(path, ".json: not a case file"));
  }
  CaseFile file{.name = name};
  file.cases = json["cases"].get<std::vector<Json>>();
  json.erase("cases");
  file.header = std::move(json);
  if (std::filesystem::exists(path + ".safetensors")) {
    ASSIGN_OR_RETURN(file.tensors, CaseTensors::Open(path + ".safetensors"));
  }
  return file;
}

}  // namespace attnd::golden
