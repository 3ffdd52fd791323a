// DistilBERT (Sanh et al. 2019): BERT without token types and pooler.
#include "core/model/families.h"
#include "core/model/families/common.h"

namespace attnd::families {
namespace {

constexpr NameRule kNames[] = {
    {"embed.tokens.weight", "embeddings.word_embeddings.weight"},
    {"embed.positions.weight", "embeddings.position_embeddings.weight"},
    {"embed.norm.*", "embeddings.LayerNorm.*"},
    {"encoder.{i}.attention.q.*", "transformer.layer.{i}.attention.q_lin.*"},
    {"encoder.{i}.attention.k.*", "transformer.layer.{i}.attention.k_lin.*"},
    {"encoder.{i}.attention.v.*", "transformer.layer.{i}.attention.v_lin.*"},
    {"encoder.{i}.attention.out.*", "transformer.layer.{i}.attention.out_lin.*"},
    {"encoder.{i}.attention.norm.*", "transformer.layer.{i}.sa_layer_norm.*"},
    {"encoder.{i}.ffn.up.*", "transformer.layer.{i}.ffn.lin1.*"},
    {"encoder.{i}.ffn.down.*", "transformer.layer.{i}.ffn.lin2.*"},
    {"encoder.{i}.ffn.norm.*", "transformer.layer.{i}.output_layer_norm.*"},
};
constexpr std::string_view kPrefixes[] = {"", "distilbert."};

constexpr NameRule kSequence[] = {{"head.dense.*", "/pre_classifier.*"},
                                  {"head.out.*", "/classifier.*"}};
constexpr NameRule kTokens[] = {{"head.out.*", "/classifier.*"}};
constexpr NameRule kSpan[] = {{"head.out.*", "/qa_outputs.*"}};
constexpr NameRule kVocabulary[] = {
    {"head.dense.*", "/vocab_transform.*"},
    {"head.norm.*", "/vocab_layer_norm.*"},
    {"head.out.*", "/vocab_projector.*"},
};

}  // namespace

// A sinusoidal position table (sinusoidal_pos_embds) is in the checkpoint like a learned one.
ArchSpec DistilBert(JsonFields& config) {
  RefuseUnsupported(config);
  const int32_t hidden = Int(config, "dim", 1, kHiddenMax);
  const int32_t heads = Int(config, "n_heads", 1, kHiddenMax);
  CheckHeads(config, {"n_heads", heads}, {"dim", hidden});
  const int32_t positions = Int(config, "max_position_embeddings", 1, kPositionsMax);
  ArchSpec arch{
      .hidden = hidden,
      .vocabulary = Int(config, "vocab_size", 1, kVocabularyMax),
      .length_max = positions,
      .norm_epsilon = 1e-12f,
      .embed = {.positions = positions},
      .encoder = {.layers = Int(config, "n_layers", 1, kLayersMax),
                  .heads = heads,
                  .head_size = hidden / heads,
                  .inner = Int(config, "hidden_dim", 1, kInnerMax),
                  .activation = ReadActivation(config, "activation")},
      .names = kNames,
      .prefixes = kPrefixes,
  };
  const HeadOfClass classes[] = {
      {"ForSequenceClassification",
       {.kind = HeadKind::kSequenceLabels, .dense = true, .activation = Activation::kRelu},
       kSequence},
      {"ForTokenClassification", {.kind = HeadKind::kTokenLabels}, kTokens},
      {"ForQuestionAnswering", {.kind = HeadKind::kSpan}, kSpan},
      {"ForMaskedLM",
       {.kind = HeadKind::kVocabulary,
        .dense = true,
        .activation = arch.encoder.activation,
        .norm = true},
       kVocabulary},
  };
  ReadHead(config, classes, arch);
  return arch;
}

}  // namespace attnd::families
