#include "server/serve_model.h"

#include <utility>

#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/input/mask_token.h"
#include "core/model/model_config.h"
#include "core/tensor/onednn.h"

namespace attnd {
namespace {

constexpr char kTokenizerFile[] = "tokenizer.json";

absl::StatusOr<std::unique_ptr<const Tokenizer>> LoadTokenizer(const ModelDir& dir) {
  ASSIGN_OR_RETURN(const std::string json, dir.ReadFile(kTokenizerFile, kTokenizerBytesMax));
  auto tokenizer = Tokenizer::Load(json);
  if (tokenizer.ok()) return tokenizer;
  return absl::Status(tokenizer.status().code(),
                      StrCat(kTokenizerFile, ": ", tokenizer.status().message()));
}

// What the tokenizer says, the model must know.
absl::Status CheckVocabulary(const Tokenizer& tokenizer, const ModelInfo& info) {
  if (tokenizer.id_end() <= info.vocabulary) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat(kTokenizerFile, ": its largest id ", tokenizer.id_end() - 1,
             " is not in the model's vocabulary of ", info.vocabulary));
}

absl::StatusOr<std::optional<int32_t>> FindMaskId(const ModelDir& dir, const ModelInfo& info,
                                                  const Tokenizer& tokenizer) {
  // No other model has a use for it, nor should fail to load because of it.
  if (info.head != HeadKind::kVocabulary) return std::nullopt;
  ASSIGN_OR_RETURN(const std::optional<std::string> token, ReadMaskToken(dir));
  return token ? tokenizer.IdOf(*token) : std::nullopt;
}

// The texts as a model takes them. No id leaves its vocabulary.
absl::StatusOr<CalibrationInputs> Calibrate(const ModelDir& dir, const Tokenizer& tokenizer,
                                            const CalibrationTexts& texts) {
  ASSIGN_OR_RETURN(const ModelInfo info, Model::Check(dir));
  RETURN_IF_ERROR(CheckVocabulary(tokenizer, info));
  return Tokenize(texts, tokenizer, info.length_default);
}

// Which text the model is worst at, if it meets the demand there.
absl::Status FindWorst(const CalibrationInputs& inputs, const AccuracyDemand& demand,
                       LoadedModel& loaded) {
  const ModelInfo& info = loaded.model->info();
  CHECK_THAT(info.accuracy.has_value());
  const size_t worst = inputs.texts.at(static_cast<size_t>(info.accuracy->worst));
  loaded.worst_text = demand.texts.NameOf(worst);
  loaded.worst_description = demand.texts.Describe(worst);
  return CheckAccuracy(*info.accuracy, demand.cosine_min, info.dtype, loaded.worst_description);
}

}  // namespace

absl::StatusOr<LoadedModel> LoadModel(const std::string& path, Model::Options options,
                                      const AccuracyDemand& demand) {
  LoadedModel loaded;
  ASSIGN_OR_RETURN(const ModelDir dir, ModelDir::Open(path));
  // The tokenizer first: it is small, and a broken one should not cost reading the weights.
  ASSIGN_OR_RETURN(loaded.tokenizer, LoadTokenizer(dir));
  CalibrationInputs inputs;
  if (options.precision != Precision::kF32) {
    ASSIGN_OR_RETURN(inputs, Calibrate(dir, *loaded.tokenizer, demand.texts));
    options.calibration = inputs.ids;
  }
  ASSIGN_OR_RETURN(loaded.model, Model::Load(dir, options));
  if (options.precision != Precision::kF32) RETURN_IF_ERROR(FindWorst(inputs, demand, loaded));
  RETURN_IF_ERROR(CheckVocabulary(*loaded.tokenizer, loaded.model->info()));
  ASSIGN_OR_RETURN(loaded.mask_id, FindMaskId(dir, loaded.model->info(), *loaded.tokenizer));
  return loaded;
}

absl::Status CheckModel(const std::string& path) {
  ASSIGN_OR_RETURN(const ModelDir dir, ModelDir::Open(path));
  ASSIGN_OR_RETURN(const auto tokenizer, LoadTokenizer(dir));
  ASSIGN_OR_RETURN(const ModelInfo info, Model::Check(dir));
  RETURN_IF_ERROR(CheckVocabulary(*tokenizer, info));
  return FindMaskId(dir, info, *tokenizer).status();
}

ServedModel Serve(const std::string& name, const LoadedModel& loaded) {
  ServedModel served;
  served.name = name;
  served.info = loaded.model->info();
  served.worst_text = loaded.worst_text;
  served.isa = onednn::Isa();
  served.onednn_version = onednn::Version();
  const Model* model = loaded.model.get();
  served.size_outputs = [model](EncodeTask& task) { model->SizeOutputs(task); };
  const Tokenizer* tokenizer = loaded.tokenizer.get();
  served.tokenize = [tokenizer](std::string_view text, std::optional<std::string_view> pair,
                                const TokenizeOptions& options) {
    return tokenizer->Encode(text, pair, options);
  };
  served.token_of = [tokenizer](int32_t id) { return tokenizer->TokenOf(id); };
  served.decode = [tokenizer](std::span<const int32_t> ids, bool skip_special_tokens) {
    return tokenizer->Decode(ids, skip_special_tokens);
  };
  served.mask_id = loaded.mask_id;
  return served;
}

}  // namespace attnd
