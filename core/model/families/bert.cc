// BERT (Devlin et al. 2019), which MiniLM, BGE and E5 are, and RoBERTa (Liu et al. 2019), which
// XLM-R is but for its tokenizer.
#include "core/model/families.h"
#include "core/model/families/common.h"

namespace attnd::families {
namespace {

constexpr NameRule kNames[] = {
    {"embed.tokens.weight", "embeddings.word_embeddings.weight"},
    {"embed.positions.weight", "embeddings.position_embeddings.weight"},
    {"embed.types.weight", "embeddings.token_type_embeddings.weight"},
    {"embed.norm.*", "embeddings.LayerNorm.*"},
    {"encoder.{i}.attention.q.*", "encoder.layer.{i}.attention.self.query.*"},
    {"encoder.{i}.attention.k.*", "encoder.layer.{i}.attention.self.key.*"},
    {"encoder.{i}.attention.v.*", "encoder.layer.{i}.attention.self.value.*"},
    {"encoder.{i}.attention.out.*", "encoder.layer.{i}.attention.output.dense.*"},
    {"encoder.{i}.attention.norm.*", "encoder.layer.{i}.attention.output.LayerNorm.*"},
    {"encoder.{i}.ffn.up.*", "encoder.layer.{i}.intermediate.dense.*"},
    {"encoder.{i}.ffn.down.*", "encoder.layer.{i}.output.dense.*"},
    {"encoder.{i}.ffn.norm.*", "encoder.layer.{i}.output.LayerNorm.*"},
    {"pooler.*", "pooler.dense.*"},
    {"projection.weight", "/linear.weight"},
};
constexpr std::string_view kBertPrefixes[] = {"", "bert."};
constexpr std::string_view kRobertaPrefixes[] = {"", "roberta."};

constexpr NameRule kClassifier[] = {{"head.out.*", "/classifier.*"}};
constexpr NameRule kPooledClassifier[] = {{"head.dense.*", "pooler.dense.*"},
                                          {"head.out.*", "/classifier.*"}};
constexpr NameRule kDenseClassifier[] = {{"head.dense.*", "/classifier.dense.*"},
                                         {"head.out.*", "/classifier.out_proj.*"}};
constexpr NameRule kSpan[] = {{"head.out.*", "/qa_outputs.*"}};
constexpr NameRule kBertVocabulary[] = {
    {"head.dense.*", "/cls.predictions.transform.dense.*"},
    {"head.norm.*", "/cls.predictions.transform.LayerNorm.*"},
    {"head.out.weight", "/cls.predictions.decoder.weight"},
    {"head.out.bias", "/cls.predictions.bias"},
    {"head.out.bias", "/cls.predictions.decoder.bias"},
};
constexpr NameRule kRobertaVocabulary[] = {
    {"head.dense.*", "/lm_head.dense.*"},           {"head.norm.*", "/lm_head.layer_norm.*"},
    {"head.out.weight", "/lm_head.decoder.weight"}, {"head.out.bias", "/lm_head.bias"},
    {"head.out.bias", "/lm_head.decoder.bias"},
};

constexpr HeadSpec kTanhLabels{
    .kind = HeadKind::kSequenceLabels, .dense = true, .activation = Activation::kTanh};

// What both read alike. Defaults are those of transformers, whose RoBERTa takes BERT's.
ArchSpec Common(JsonFields& config) {
  RefuseUnsupported(config);
  RefuseRelativeKeys(config);
  const int32_t hidden = Int(config, "hidden_size", 1, kHiddenMax);
  const int32_t heads = Int(config, "num_attention_heads", 1, kHiddenMax);
  CheckHeads(config, {"num_attention_heads", heads}, {"hidden_size", hidden});
  const int32_t positions = Int(config, "max_position_embeddings", 1, kPositionsMax);
  return {
      .hidden = hidden,
      .vocabulary = Int(config, "vocab_size", 1, kVocabularyMax),
      .length_max = positions,
      .norm_epsilon = Epsilon(config, "layer_norm_eps", 1e-12),
      .embed = {.positions = positions,
                .token_types = IntOr(config, "type_vocab_size", 1, kTokenTypesMax, 2)},
      .encoder = {.layers = Int(config, "num_hidden_layers", 1, kLayersMax),
                  .heads = heads,
                  .head_size = hidden / heads,
                  .inner = Int(config, "intermediate_size", 1, kInnerMax),
                  .activation = ReadActivation(config, "hidden_act")},
      .pooler = true,
      .projection = true,
      .names = kNames,
  };
}

}  // namespace

ArchSpec Bert(JsonFields& config) {
  ArchSpec arch = Common(config);
  arch.prefixes = kBertPrefixes;
  const HeadSpec vocabulary{.kind = HeadKind::kVocabulary,
                            .dense = true,
                            .activation = arch.encoder.activation,
                            .norm = true};
  const HeadOfClass heads[] = {
      {"ForSequenceClassification", kTanhLabels, kPooledClassifier},
      {"ForTokenClassification", {.kind = HeadKind::kTokenLabels}, kClassifier},
      {"ForQuestionAnswering", {.kind = HeadKind::kSpan}, kSpan},
      {"ForMaskedLM", vocabulary, kBertVocabulary},
      {"ForPreTraining", vocabulary, kBertVocabulary},
  };
  ReadHead(config, heads, arch);
  return arch;
}

// Positions begin behind that of the padding token, which itself has none of its own.
ArchSpec Roberta(JsonFields& config) {
  ArchSpec arch = Common(config);
  arch.prefixes = kRobertaPrefixes;
  const int32_t padding = IntOr(config, "pad_token_id", 0, kPositionsMax, 1);
  arch.embed.unplaced_token = padding;
  arch.embed.position_offset = padding + 1;
  arch.length_max -= arch.embed.position_offset;
  if (arch.length_max < 1) {
    config.Fail("max_position_embeddings", "leaves no position behind that of pad_token_id");
    arch.length_max = 1;
  }
  // Its head has an activation of its own, whatever hidden_act is.
  const HeadSpec vocabulary{.kind = HeadKind::kVocabulary,
                            .dense = true,
                            .activation = Activation::kGeluErf,
                            .norm = true};
  const HeadOfClass heads[] = {
      {"ForSequenceClassification", kTanhLabels, kDenseClassifier},
      {"ForTokenClassification", {.kind = HeadKind::kTokenLabels}, kClassifier},
      {"ForQuestionAnswering", {.kind = HeadKind::kSpan}, kSpan},
      {"ForMaskedLM", vocabulary, kRobertaVocabulary},
  };
  ReadHead(config, heads, arch);
  return arch;
}

}  // namespace attnd::families
