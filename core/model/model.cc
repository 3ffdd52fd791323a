#include "core/model/model.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/memory_limit.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/model/accuracy.h"
#include "core/model/calibrate.h"
#include "core/model/model_config.h"
#include "core/model/weight_names.h"
#include "core/tensor/weights.h"

namespace attnd {
namespace {

constexpr size_t kVersionDigits = 16;

// The part of this process's memory that a checkpoint may take in f32. More could not be served
// beside it, and a sparse file that agrees with its config costs its author nothing.
constexpr uint64_t kWeightPercentMax = 80;

constexpr size_t kCalibrationInputsMin = 3;
// One tile of rows, so that what an observer is shown are the rows of one input and its padding.
constexpr auto kCalibrationTokensMax = static_cast<int32_t>(FeedForward::kTileRows);

// The checkpoint's tensors, which agree with the config.
absl::StatusOr<NamedWeights> NameWeights(const ModelConfig& config, const Weights& weights,
                                         Precision precision) {
  // What is calibrated is there twice while that lasts.
  const uint64_t percent = precision == Precision::kF32 ? kWeightPercentMax : kWeightPercentMax / 2;
  ASSIGN_OR_RETURN(NamedWeights named,
                   NamedWeights::Open(config.arch, weights, MemoryLimitBytes() / 100 * percent));
  if (config.pooling == Pooling::kPooler && !named.has_pooler()) {
    return absl::InvalidArgumentError("the pooling is the model's pooler, which has no weights");
  }
  return named;
}

ModelInfo Describe(const ModelConfig& config, const Weights& weights, const NamedWeights& named,
                   Precision precision) {
  const ArchSpec& arch = config.arch;
  return {
      .family = std::string(arch.family),
      .hidden = arch.hidden,
      .layers = arch.encoder.layers,
      .heads = arch.encoder.heads,
      .vocabulary = arch.vocabulary,
      .token_types = arch.embed.token_types,
      .length_max = arch.length_max,
      .length_default = config.length_default,
      .pooling = config.pooling,
      .normalize = config.normalize,
      .has_pooler = named.has_pooler(),
      .head = named.has_head() ? arch.head.kind : HeadKind::kNone,
      .labels = named.has_head() ? arch.labels : std::vector<std::string>(),
      .score_function = named.has_head() ? arch.score_function : ScoreFunction::kNone,
      .projection = named.projection(),
      .prompts = config.prompts,
      .default_prompt_name = config.default_prompt_name,
      .dtype = std::string(NameOf(precision)),
      .checkpoint_dtype = std::string(weights.checkpoint_type()),
      .leftovers = named.leftovers(),
  };
}

absl::Status CheckCalibration(std::span<const std::vector<int32_t>> inputs, const ArchSpec& arch) {
  if (inputs.size() < kCalibrationInputsMin) {
    return absl::InvalidArgumentError(StrCat("there are ", inputs.size(), " calibration inputs; ",
                                             kCalibrationInputsMin, " are the least"));
  }
  const auto longest = static_cast<size_t>(std::min(kCalibrationTokensMax, arch.length_max));
  for (const std::vector<int32_t>& input : inputs) {
    if (input.empty() || input.size() > longest) {
      return absl::InvalidArgumentError(StrCat("a calibration input has ", input.size(),
                                               " tokens; 1 to ", longest, " are allowed"));
    }
    const auto [least, most] = std::ranges::minmax_element(input);
    if (*least < 0 || *most >= arch.vocabulary) {
      return absl::InvalidArgumentError(
          StrCat("a calibration input has an id outside the vocabulary of ", arch.vocabulary));
    }
  }
  return absl::OkStatus();
}

// Loads the checkpoint in f32 too, for as long as it takes to see what its layers are given and how
// near the other comes to it.
absl::StatusOr<std::unique_ptr<const Encoder>> LoadCalibrated(
    const ArchSpec& arch, Encoder::Options options, TensorReader read,
    std::span<const std::vector<int32_t>> inputs, ModelInfo& info) {
  RETURN_IF_ERROR(CheckCalibration(inputs, arch));
  // The pooler, where vectors come from it; nothing else but the layers.
  ASSIGN_OR_RETURN(const auto f32, Encoder::Load(arch,
                                                 {.batch_rows_max = kCalibrationTokensMax,
                                                  .pooler = options.pooler,
                                                  .load_threads = options.load_threads},
                                                 read));
  ASSIGN_OR_RETURN(const Observed observed, ObserveInputs(*f32, info.pooling, inputs));
  options.input_ranges = &observed.ranges;
  ASSIGN_OR_RETURN(auto encoder, Encoder::Load(arch, options, read));
  Encoder::Scratch scratch(*encoder);
  ASSIGN_OR_RETURN(const Vectors pooled, PoolEach(*encoder, info.pooling, inputs, scratch));
  info.accuracy = CompareToF32(pooled, observed.pooled);
  return encoder;
}

}  // namespace

absl::StatusOr<ModelInfo> Model::Check(const ModelDir& dir) {
  ASSIGN_OR_RETURN(const ModelConfig config, ReadModelConfig(dir));
  ASSIGN_OR_RETURN(const Weights weights, Weights::Open(dir));
  ASSIGN_OR_RETURN(const NamedWeights named, NameWeights(config, weights, Precision::kF32));
  return Describe(config, weights, named, Precision::kF32);
}

absl::StatusOr<std::unique_ptr<const Model>> Model::Load(const ModelDir& dir,
                                                         const Options& options) {
  RETURN_IF_ERROR(CheckComputed(options.precision));
  ASSIGN_OR_RETURN(const ModelConfig config, ReadModelConfig(dir));
  ASSIGN_OR_RETURN(const Weights weights, Weights::Open(dir));
  ASSIGN_OR_RETURN(const NamedWeights named, NameWeights(config, weights, options.precision));
  ModelInfo info = Describe(config, weights, named, options.precision);
  std::span<const std::vector<int32_t>> calibration;
  if (options.precision != Precision::kF32) calibration = options.calibration;
  DigestChoices choices = {.precision = info.dtype, .head = info.head};
  // In bf16 it is measured over and changes nothing.
  if (options.precision == Precision::kInt8) choices.calibration = calibration;
  // Before the encoder is built: a file that cannot be read should cost nothing.
  ASSIGN_OR_RETURN(const std::string digest, ModelDigest(dir, config, weights, choices));
  const auto read = [&](std::string_view name, std::span<const int64_t> shape,
                        std::span<float> out) { return named.Read(name, shape, out); };
  Encoder::Options encoder_options = {
      .batch_rows_max = std::max(options.batch_rows_max, info.length_max),
      .pooler = info.has_pooler,
      .head = named.has_head(),
      .projection = info.projection,
      .precision = options.precision,
      .load_threads = options.load_threads};
  std::unique_ptr<const Encoder> encoder;
  if (calibration.empty()) {
    ASSIGN_OR_RETURN(encoder, Encoder::Load(config.arch, encoder_options, read));
  } else {
    ASSIGN_OR_RETURN(encoder,
                     LoadCalibrated(config.arch, encoder_options, read, calibration, info));
  }
  info.version = digest.substr(0, kVersionDigits);
  info.kernels = encoder->Kernels();
  info.weight_bytes = encoder->weight_bytes();
  return std::unique_ptr<const Model>(new Model(std::move(info), std::move(encoder)));
}

void Model::SizeOutputs(EncodeTask& task) const {
  const auto hidden = static_cast<size_t>(info_.hidden);
  const size_t rows = task.embeddings.empty() ? task.ids.size() : task.embeddings.size() / hidden;
  const auto size = [](std::vector<float>& out, bool wanted, size_t count) {
    out.resize(wanted ? count : 0);
  };
  size(task.rows_out, task.return_rows, rows * hidden);
  size(task.pooled_out, task.pooling.has_value(), hidden);
  size(task.hidden_out, true, task.hidden_layers.size() * rows * hidden);
  const size_t heads =
      task.attention_heads.empty() ? static_cast<size_t>(info_.heads) : task.attention_heads.size();
  const size_t attention = task.attention_layers.size() * heads * rows * rows;
  size(task.attention_weights_out, task.return_attention_weights, attention);
  size(task.attention_scores_out, task.return_attention_scores, attention);
  size(task.logits_out, task.return_logits, LogitsSize(task, rows));
  size(task.sparse_out, task.return_sparse, static_cast<size_t>(info_.vocabulary));
  const auto projected =
      static_cast<size_t>(info_.projection > 0 ? info_.projection : info_.hidden);
  size(task.projection_out, task.return_projection, rows * projected);
}

size_t Model::LogitsSize(const EncodeTask& task, size_t rows) const {
  switch (info_.head) {
    case HeadKind::kNone:
      return 0;
    case HeadKind::kSequenceLabels:
      return info_.labels.size();
    case HeadKind::kTokenLabels:
      return rows * info_.labels.size();
    case HeadKind::kSpan:
      return rows * 2;
    case HeadKind::kVocabulary:
      return task.logit_rows.size() * static_cast<size_t>(info_.vocabulary);
  }
  CHECK_THAT(false);
}

}  // namespace attnd
