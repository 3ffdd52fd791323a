#include "core/model/model_config.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "core/base/json.h"
#include "core/base/printable.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/model/families.h"

namespace attnd {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kModulesFile = "modules.json";
constexpr std::string_view kTransformerFile = "sentence_bert_config.json";
constexpr std::string_view kPromptsFile = "config_sentence_transformers.json";
// Those that say which token is the mask.
constexpr const char* kMaskFiles[] = {"tokenizer_config.json", "special_tokens_map.json"};

struct PoolingName {
  std::string_view flag;  // The boolean of sentence-transformers up to 4.
  std::string_view mode;  // The value of pooling_mode from 5 on.
  std::optional<Pooling> pooling;
};
constexpr PoolingName kPoolings[] = {
    {"pooling_mode_cls_token", "cls", Pooling::kCls},
    {"pooling_mode_mean_tokens", "mean", Pooling::kMean},
    {"pooling_mode_max_tokens", "max", Pooling::kMax},
    {"pooling_mode_lasttoken", "lasttoken", Pooling::kLast},
    {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", std::nullopt},
    {"pooling_mode_weightedmean_tokens", "weightedmean", std::nullopt},
};

constexpr std::string_view kPoolingsWanted = "; one of cls, mean, max and lasttoken is wanted";

absl::StatusOr<Json> ReadJson(const ModelDir& dir, const std::string& name, ModelConfig& config) {
  ASSIGN_OR_RETURN(const std::string text, dir.ReadFile(name, kConfigBytesMax));
  config.files.push_back(name);
  return ParseJson(text, Printable(name));
}

absl::Status ReadPooling(const ModelDir& dir, const std::string& path, ModelConfig& config) {
  const std::string name = StrCat(path, "/config.json");
  ASSIGN_OR_RETURN(const Json json, ReadJson(dir, name, config));
  JsonFields fields(json, Printable(name));

  std::string modes;
  const std::string mode = fields.StringOr("pooling_mode", "");
  for (const PoolingName& known : kPoolings) {
    if (!fields.BoolOr(known.flag, false) && mode != known.mode) continue;
    if (!modes.empty()) fields.Fail("pooling_mode", StrCat("is ", modes, " and ", known.mode));
    if (!known.pooling.has_value())
      fields.Fail("pooling_mode", StrCat("is ", known.mode, kPoolingsWanted));
    config.pooling = known.pooling.value_or(config.pooling);
    modes = known.mode;
  }
  if (modes.empty()) {
    fields.Fail("pooling_mode",
                StrCat("is ", mode.empty() ? "not set" : Printable(mode), kPoolingsWanted));
  }
  // The size's name in sentence-transformers up to 4, and from 5 on.
  for (const std::string_view key : {"word_embedding_dimension", "embedding_dimension"}) {
    const int64_t size = fields.IntOr(key, 1, kHiddenMax, config.arch.hidden);
    if (size != config.arch.hidden) {
      fields.Fail(key, StrCat("is ", size, "; the model's hidden size is ", config.arch.hidden));
    }
  }
  return fields.status();
}

// One module of modules.json: Transformer, then Pooling, then Normalize, where each may be the
// last.
absl::Status ReadModule(const ModelDir& dir, const Json& json, size_t index, ModelConfig& config) {
  JsonFields fields(json, StrCat(kModulesFile, ": module ", index));
  const std::string type = fields.String("type");
  std::string path = fields.StringOr("path", "");
  if (path.ends_with('/')) path.pop_back();
  // The class name; what is before it differs between releases of sentence-transformers.
  const std::string_view name = std::string_view(type).substr(type.rfind('.') + 1);
  constexpr std::string_view kOrder[] = {"Transformer", "Pooling", "Normalize"};
  if (std::find(std::begin(kOrder), std::end(kOrder), name) == std::end(kOrder)) {
    fields.Fail("type", StrCat("is ", Printable(type),
                               "; Transformer, Pooling and Normalize are supported"));
  } else if (index >= std::size(kOrder) || name != kOrder[index]) {
    fields.Fail("type", StrCat("is ", name, "; the order is Transformer, Pooling, Normalize"));
  }
  RETURN_IF_ERROR(fields.status());
  if (name == "Transformer" && !path.empty()) {
    fields.Fail("path", StrCat("is ", Printable(path),
                               "; the transformer must be in the directory itself"));
  }
  if (name == "Pooling") RETURN_IF_ERROR(ReadPooling(dir, path, config));
  if (name == "Normalize") config.normalize = true;
  return fields.status();
}

absl::Status ReadModules(const ModelDir& dir, ModelConfig& config) {
  ASSIGN_OR_RETURN(const Json modules, ReadJson(dir, std::string(kModulesFile), config));
  if (!modules.is_array() || modules.empty()) {
    return absl::InvalidArgumentError(StrCat(kModulesFile, ": is no list of modules"));
  }
  for (size_t i = 0; i < modules.size(); ++i)
    RETURN_IF_ERROR(ReadModule(dir, modules[i], i, config));
  return absl::OkStatus();
}

absl::Status ReadTransformerSettings(const ModelDir& dir, ModelConfig& config) {
  const std::string name(kTransformerFile);
  ASSIGN_OR_RETURN(const Json json, ReadJson(dir, name, config));
  JsonFields fields(json, name);
  // Libraries write the whole position table's length, of which RoBERTa keeps two places to itself.
  const int32_t table = std::max(config.arch.length_max, config.arch.embed.positions);
  const auto length =
      static_cast<int32_t>(fields.IntOr("max_seq_length", 1, table, config.length_default));
  config.length_default = std::min(length, config.arch.length_max);
  // Here it would lower-case text before the tokenizer; only tokenizer.json decides that.
  if (fields.BoolOr("do_lower_case", false)) {
    fields.Fail("do_lower_case", "is true; lower-casing is supported in tokenizer.json alone");
  }
  return fields.status();
}

absl::Status ReadPromptTexts(const Json& json, ModelConfig& config) {
  JsonFields fields(json, StrCat(kPromptsFile, ": prompts"));
  RETURN_IF_ERROR(fields.status());
  if (json.size() > kPromptsMax) {
    return absl::InvalidArgumentError(StrCat(kPromptsFile, ": prompts: ", json.size(),
                                             " prompts are more than the limit of ", kPromptsMax));
  }
  for (const auto& [name, text] : json.items()) {
    if (name.size() > kPromptNameBytesMax) {
      fields.Fail(Printable(name), StrCat("has a name of ", name.size(), " bytes; the limit is ",
                                          kPromptNameBytesMax));
    } else if (!text.is_string()) {
      fields.Fail(Printable(name), StrCat("is a ", text.type_name(), "; a string is wanted"));
    } else if (const auto& prompt = text.get_ref<const std::string&>();
               prompt.size() > kPromptBytesMax) {
      fields.Fail(Printable(name),
                  StrCat("has ", prompt.size(), " bytes; the limit is ", kPromptBytesMax));
    } else {
      config.prompts.emplace(name, prompt);
    }
  }
  return fields.status();
}

absl::Status ReadPrompts(const ModelDir& dir, ModelConfig& config) {
  const std::string name(kPromptsFile);
  ASSIGN_OR_RETURN(const Json json, ReadJson(dir, name, config));
  JsonFields fields(json, name);
  if (fields.Has("prompts")) RETURN_IF_ERROR(ReadPromptTexts(json["prompts"], config));
  config.default_prompt_name = fields.StringOr("default_prompt_name", "");
  if (fields.Has("default_prompt_name") && !config.prompts.contains(config.default_prompt_name)) {
    fields.Fail("default_prompt_name",
                StrCat("is \"", Printable(config.default_prompt_name), "\", which is no prompt"));
  }
  return fields.status();
}

// Each part with its length before it, so that no two different lists of files give the same bytes.
void AddPart(Sha256& digest, std::string_view name, uint64_t bytes) {
  digest.Update(StrCat(name.size(), ":", name, ":", bytes, ":"));
}

absl::Status AddFile(Sha256& digest, std::string_view name, const ModelFile& file) {
  AddPart(digest, name, file.size());
  std::string chunk;
  for (uint64_t offset = 0; offset < file.size(); offset += chunk.size()) {
    chunk.resize(std::min<uint64_t>(file.size() - offset, 1u << 20));
    RETURN_IF_ERROR(file.ReadAt(offset, chunk.size(), chunk.data()));
    digest.Update(chunk);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ModelConfig> ReadModelConfig(const ModelDir& dir) {
  ModelConfig config;
  ASSIGN_OR_RETURN(const Json json, ReadJson(dir, "config.json", config));
  ASSIGN_OR_RETURN(config.arch, DescribeArch(json, "config.json"));
  config.length_default = config.arch.length_max;
  if (dir.Has(kModulesFile)) RETURN_IF_ERROR(ReadModules(dir, config));
  if (dir.Has(kTransformerFile)) RETURN_IF_ERROR(ReadTransformerSettings(dir, config));
  if (dir.Has(kPromptsFile)) RETURN_IF_ERROR(ReadPrompts(dir, config));
  std::sort(config.files.begin(), config.files.end());
  return config;
}

absl::StatusOr<std::string> ModelDigest(const ModelDir& dir, const ModelConfig& config,
                                        const Weights& weights, const DigestChoices& choices) {
  Sha256 digest;
  AddPart(digest, choices.precision, 0);
  for (const std::vector<int32_t>& input : choices.calibration) {
    AddPart(digest, "calibration", input.size() * sizeof(int32_t));
    digest.Update({reinterpret_cast<const char*>(input.data()), input.size() * sizeof(int32_t)});
  }
  const auto add = [&](const std::string& name, uint64_t bytes_max) -> absl::Status {
    ASSIGN_OR_RETURN(const ModelFile file, dir.OpenFile(name, bytes_max));
    return AddFile(digest, name, file);
  };
  for (const std::string& name : config.files) RETURN_IF_ERROR(add(name, kConfigBytesMax));
  RETURN_IF_ERROR(add("tokenizer.json", kTokenizerBytesMax));
  if (choices.head == HeadKind::kVocabulary) {
    for (const char* name : kMaskFiles) {
      if (dir.Has(name)) RETURN_IF_ERROR(add(name, kMaskFileBytesMax));
    }
  }
  for (const ModelFile& file : weights.files()) RETURN_IF_ERROR(AddFile(digest, file.name(), file));
  return digest.Finish();
}

}  // namespace attnd
