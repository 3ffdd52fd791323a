#include "server/validate/encode_options.h"

#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "server/validate/error.h"
#include "server/validate/options.h"
#include "server/validate/part_options.h"

namespace attnd {
namespace {

absl::StatusOr<Pooling> ReadPooling(v1::Pooling pooling, const ModelInfo& info) {
  switch (pooling) {
    case v1::POOLING_UNSPECIFIED:
      return info.pooling;
    case v1::POOLING_CLS:
      return Pooling::kCls;
    case v1::POOLING_MEAN:
      return Pooling::kMean;
    case v1::POOLING_MAX:
      return Pooling::kMax;
    case v1::POOLING_LAST:
      return Pooling::kLast;
    case v1::POOLING_POOLER:
      if (info.has_pooler) return Pooling::kPooler;
      return Refuse(v1::ERROR_REASON_NOT_SUPPORTED_BY_MODEL, "options.pooling",
                    "POOLING_POOLER is asked for, but this checkpoint has no pooler");
    default:
      return UnknownChoice("pooling", pooling);
  }
}

absl::StatusOr<VectorEncoding> ReadVectorEncoding(v1::VectorEncoding encoding) {
  switch (encoding) {
    case v1::VECTOR_ENCODING_UNSPECIFIED:
    case v1::VECTOR_ENCODING_FLOAT32:
      return VectorEncoding::kFloat32;
    case v1::VECTOR_ENCODING_FLOAT16:
      return VectorEncoding::kFloat16;
    case v1::VECTOR_ENCODING_BFLOAT16:
      return VectorEncoding::kBfloat16;
    case v1::VECTOR_ENCODING_INT8:
      return VectorEncoding::kInt8;
    case v1::VECTOR_ENCODING_BINARY:
      return VectorEncoding::kBit;
    default:
      return UnknownChoice("vector_encoding", encoding);
  }
}

absl::StatusOr<PooledChoices> ReadPooled(const v1::EncodeOptions& options, const ModelInfo& info) {
  PooledChoices pooled;
  ASSIGN_OR_RETURN(const Pooling pooling, ReadPooling(options.pooling(), info));
  if (!options.has_return_pooled() || options.return_pooled()) pooled.pooling = pooling;
  pooled.normalize = options.has_normalize() ? options.normalize() : info.normalize;
  pooled.dimensions = options.has_dimensions() ? options.dimensions() : info.hidden;
  if (pooled.dimensions < 1 || pooled.dimensions > info.hidden) {
    return Refuse(v1::ERROR_REASON_INVALID_VALUE, "options.dimensions",
                  StrCat(pooled.dimensions, " is not between 1 and ", info.hidden,
                         ", the model's hidden size"));
  }
  return pooled;
}

absl::StatusOr<PromptChoices> ReadPrompt(const v1::EncodeOptions& options, const ModelInfo& info) {
  if (options.has_prompt()) {
    if (options.has_prompt_name()) {
      return Refuse(v1::ERROR_REASON_INVALID_VALUE, "options.prompt",
                    "a prompt and prompt_name cannot both be given");
    }
    return PromptChoices{.text = options.prompt(), .is_asked_for = !options.prompt().empty()};
  }
  const std::string& name =
      options.has_prompt_name() ? options.prompt_name() : info.default_prompt_name;
  if (!options.has_prompt_name() && name.empty()) return PromptChoices{};
  const auto found = info.prompts.find(name);
  if (found != info.prompts.end()) {
    return PromptChoices{.text = found->second, .is_asked_for = options.has_prompt_name()};
  }
  if (info.prompts.empty()) {
    return Refuse(v1::ERROR_REASON_NOT_SUPPORTED_BY_MODEL, "options.prompt_name",
                  "the model has no prompts; send the text of one as `prompt`");
  }
  return Refuse(v1::ERROR_REASON_INVALID_VALUE, "options.prompt_name",
                StrCat(Quote(name), " is none of the model's ", info.prompts.size(),
                       " prompts (ModelInfo.prompts)"));
}

absl::Status ReadSparse(const v1::EncodeOptions& options, const ModelInfo& info,
                        EncodeChoices& choices) {
  choices.return_sparse = options.return_sparse();
  if (options.has_sparse_top_k() && !choices.return_sparse) {
    return Refuse(v1::ERROR_REASON_INVALID_VALUE, "options.sparse_top_k",
                  "return_sparse is not asked for");
  }
  ASSIGN_OR_RETURN(
      choices.sparse_top_k,
      ReadCount("sparse_top_k", IfSet(options.has_sparse_top_k(), options.sparse_top_k()),
                info.vocabulary));
  return absl::OkStatus();
}

absl::Status ReadTokenize(const v1::EncodeOptions& options, const ModelInfo& info,
                          TokenizeOptions& tokenize) {
  ASSIGN_OR_RETURN(tokenize.truncation, ReadTruncation(options.truncation()));
  ASSIGN_OR_RETURN(tokenize.offset_unit, ReadOffsetUnit(options.offset_unit()));
  tokenize.add_special_tokens = !options.has_add_special_tokens() || options.add_special_tokens();
  ASSIGN_OR_RETURN(tokenize.length_max,
                   ReadMaxLength(IfSet(options.has_max_length(), options.max_length()), info));
  return absl::OkStatus();
}

// That something is asked for, and that the model has it.
absl::Status CheckOutputs(const EncodeChoices& choices, const ModelInfo& info) {
  if (choices.return_sparse && info.head != HeadKind::kVocabulary) {
    return Refuse(v1::ERROR_REASON_NOT_SUPPORTED_BY_MODEL, "options.return_sparse",
                  "sparse weights are made by a masked-language head, which this checkpoint lacks");
  }
  if (choices.pooled.pooling || choices.return_token_vectors || choices.return_tokens ||
      choices.return_sparse || choices.return_multi_vector || choices.spans ||
      !choices.hidden_layers.empty() || !choices.attention_layers.empty()) {
    return absl::OkStatus();
  }
  return Refuse(v1::ERROR_REASON_INVALID_VALUE, "options",
                "neither the pooled vector, nor token vectors, nor tokens, nor anything else is to "
                "be returned");
}

}  // namespace

absl::StatusOr<EncodeChoices> ReadOptions(const v1::EncodeOptions& options,
                                          const ServedModel& model, const Limits& limits) {
  const ModelInfo& info = model.info;
  EncodeChoices choices;
  ASSIGN_OR_RETURN(choices.pooled, ReadPooled(options, info));
  choices.return_token_vectors = options.return_token_vectors();
  choices.return_tokens =
      options.has_return_tokens() ? options.return_tokens() : choices.return_token_vectors;
  RETURN_IF_ERROR(ReadSparse(options, info, choices));
  choices.return_multi_vector = options.return_multi_vector();
  choices.drop_special_tokens = options.drop_special_tokens();
  ASSIGN_OR_RETURN(choices.vector_encoding, ReadVectorEncoding(options.vector_encoding()));
  ASSIGN_OR_RETURN(choices.prompt, ReadPrompt(options, info));
  RETURN_IF_ERROR(ReadTokenize(options, info, choices.tokenize));
  if (options.has_hidden_layers()) {
    RETURN_IF_ERROR(ReadHiddenLayers(options.hidden_layers(), info, limits, choices));
  }
  if (options.has_attention()) {
    RETURN_IF_ERROR(ReadAttention(options.attention(), info, limits, choices));
  }
  if (options.has_spans()) RETURN_IF_ERROR(ReadSpans(options.spans(), choices));
  if (options.has_windows()) RETURN_IF_ERROR(ReadWindows(options.windows(), info, choices));
  choices.tokenize.return_strings = choices.return_tokens || choices.spans.has_value();
  RETURN_IF_ERROR(CheckOutputs(choices, info));
  return choices;
}

}  // namespace attnd
