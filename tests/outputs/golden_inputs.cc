#include "tests/outputs/golden_inputs.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"

namespace attnd::golden {
namespace {

constexpr std::string_view kHidden = "hidden_states.";

// One item of a case, which may be of a batch, without its padding.
struct Item {
  const CaseFile& file;
  const Json& json;
  int64_t index = 0;
  int64_t rows = 0;

  std::optional<Tensor> Read(std::string_view name) const {
    auto tensor = file.tensors.Read(StrCat(IdOf(json), "/", name));
    if (!tensor.ok()) return std::nullopt;
    return *std::move(tensor);
  }
};

// Rows of a tensor of [items, rows and padding, width], or [rows, width]; none if it isn't there.
Vectors RowsOf(const Item& item, std::string_view name) {
  const auto tensor = item.Read(name);
  if (!tensor) return {};
  const int64_t width = tensor->shape.back();
  const int64_t rows_of_item = tensor->shape[tensor->shape.size() - 2];
  auto at = tensor->values.begin() + item.index * rows_of_item * width;
  Vectors rows;
  for (int64_t row = 0; row < item.rows; ++row, at += width) rows.emplace_back(at, at + width);
  return rows;
}

// The same of [items, width], or [width].
Vector VectorOf(const Item& item, std::string_view name) {
  const auto tensor = item.Read(name);
  if (!tensor) return {};
  const int64_t width = tensor->shape.back();
  const auto at = tensor->values.begin() + item.index * width;
  return {at, at + width};
}

std::vector<int> IntsOf(const Item& item, std::string_view name) {
  std::vector<int> ints;
  if (const auto tensor = item.Read(name)) {
    const auto at = tensor->values.begin() + item.index * tensor->shape.back();
    ints.assign(at, at + item.rows);
  }
  return ints;
}

std::map<int32_t, Vectors> LayersOf(const Item& item) {
  std::map<int32_t, Vectors> layers;
  for (const std::string& name : item.file.tensors.NamesOf(IdOf(item.json))) {
    int32_t layer = 0;
    if (!name.starts_with(kHidden)) continue;
    if (!absl::SimpleAtoi(name.substr(kHidden.size()), &layer)) continue;
    layers[layer] = RowsOf(item, name);
  }
  return layers;
}

// What the reference makes of the item.
void ReadOutputs(const Item& item, int32_t layer_count, GoldenInput& input) {
  input.layers = LayersOf(item);
  input.last = RowsOf(item, "out.last_hidden_state");
  if (input.last.empty() && input.layers.contains(layer_count)) {
    input.last = input.layers[layer_count];
  }
  if (!input.last.empty()) input.layers[layer_count] = input.last;
  input.pooler = VectorOf(item, "out.pooler_output");
  const std::string architecture = item.file.header.at("architecture");
  if (architecture.ends_with("ForMaskedLM")) input.logits = RowsOf(item, "out.logits");
}

absl::Status SetText(const Json& text, const Json& pair, const Json& tokens, GoldenInput& input) {
  if (pair.is_null()) {
    input.input.set_text(text.get<std::string>());
  } else {
    input.input.mutable_text_pair()->set_first(text.get<std::string>());
    input.input.mutable_text_pair()->set_second(pair.get<std::string>());
  }
  for (const Json& entry : tokens) {
    if (entry["text"] != text || entry["text_pair"] != pair || entry["ids"] != input.ids) continue;
    input.places.clear();
    for (size_t i = 0; i < input.ids.size(); ++i) {
      input.places.push_back({.start = entry["starts"][i],
                              .end = entry["ends"][i],
                              .text = entry["texts"][i],
                              .word = entry["words"][i]});
    }
    return absl::OkStatus();
  }
  return absl::NotFoundError(
      StrCat(input.name, ": tokens.json lacks its text (tests/data/make_outputs.py writes it)"));
}

// An input of ids, as one of the case's batch.
GoldenInput IdsInput(const Item& item, int32_t layer_count) {
  GoldenInput input{.name = StrCat(item.file.name, "/", IdOf(item.json))};
  if (item.json.at("kind") == "padded_batch") input.name += StrCat("[", item.index, "]");
  input.tolerance = item.file.ToleranceOf(item.json, "hidden");
  input.ids = item.json.contains("ids") ? item.json["ids"].get<std::vector<int>>()
                                        : IntsOf(item, "in.input_ids");
  v1::TokenIds& ids = *input.input.mutable_token_ids();
  ids.mutable_ids()->Assign(input.ids.begin(), input.ids.end());
  const std::vector<int> types = IntsOf(item, "in.token_type_ids");
  ids.mutable_type_ids()->Assign(types.begin(), types.end());
  input.places.resize(input.ids.size());
  ReadOutputs(item, layer_count, input);
  return input;
}

std::vector<GoldenInput> InputsOf(const CaseFile& file, const Json& json, int32_t layer_count) {
  const auto mask = file.tensors.Read(StrCat(IdOf(json), "/in.attention_mask"));
  if (!mask.ok()) {  // Of no batch.
    const auto rows = static_cast<int64_t>(json.value("ids", Json::array()).size());
    return {IdsInput({file, json, 0, rows}, layer_count)};
  }
  std::vector<GoldenInput> inputs;
  const int64_t length = mask->shape.back();
  for (int64_t i = 0; i < mask->shape.front(); ++i) {
    const auto begin = mask->values.begin() + i * length;
    inputs.push_back(IdsInput({file, json, i, std::count(begin, begin + length, 1)}, layer_count));
  }
  return inputs;
}

absl::StatusOr<GoldenWindows> WindowsOf(const CaseFile& file, const Json& json, const Json& tokens,
                                        std::vector<GoldenInput> windows) {
  const Json& given = json.at("windows");
  GoldenWindows read{.length = given.at("length"), .stride = given.at("stride")};
  read.whole.name = StrCat(file.name, "/", IdOf(json));
  read.whole.ids = given.at("ids").get<std::vector<int>>();
  read.whole.tolerance = windows.front().tolerance;
  RETURN_IF_ERROR(SetText(given.at("text"), Json(), tokens, read.whole));
  read.windows = std::move(windows);
  return read;
}

absl::StatusOr<std::string> FindModel(const CaseFile& file, const std::string& folder) {
  const std::filesystem::path path = std::filesystem::path(folder) / file.model();
  if (std::filesystem::exists(path)) return path.string();
  const char* model = std::getenv("ATTND_MODEL");
  if (path.filename() == "all-MiniLM-L6-v2" && model != nullptr) return model;
  return absl::NotFoundError(StrCat(path.string(), " does not exist, and is not ATTND_MODEL"));
}

absl::StatusOr<int32_t> CountLayers(const std::string& directory) {
  std::ifstream stream(directory + "/config.json");
  const Json config = Json::parse(stream, nullptr, /*allow_exceptions=*/false);
  for (const char* name : {"num_hidden_layers", "n_layers", "num_layers"}) {
    if (config.contains(name)) return config[name].get<int32_t>();
  }
  return absl::NotFoundError(StrCat(directory, "/config.json has no number of layers"));
}

}  // namespace

absl::StatusOr<GoldenModel> LoadGoldenModel(const std::string& folder, const std::string& name,
                                            const Json& tokens) {
  ASSIGN_OR_RETURN(const CaseFile file, LoadCaseFile(folder, name));
  GoldenModel model;
  ASSIGN_OR_RETURN(model.directory, FindModel(file, folder));
  ASSIGN_OR_RETURN(model.layer_count, CountLayers(model.directory));
  for (const Json& json : file.cases) {
    std::vector<GoldenInput> inputs = InputsOf(file, json, model.layer_count);
    if (inputs.front().last.empty()) continue;
    if (json.contains("text")) {
      RETURN_IF_ERROR(
          SetText(json["text"], json.value("text_pair", Json()), tokens, inputs.front()));
      model.texts.push_back(std::move(inputs.front()));
      continue;
    }
    model.ids.insert(model.ids.end(), inputs.begin(), inputs.end());
    if (!json.contains("windows")) continue;
    ASSIGN_OR_RETURN(GoldenWindows windows, WindowsOf(file, json, tokens, std::move(inputs)));
    model.windows.push_back(std::move(windows));
  }
  return model;
}

}  // namespace attnd::golden
