// MPNet (Song et al. 2020): learned positions, and a bias by distance that all layers share.
#include "core/model/families.h"
#include "core/model/families/common.h"

namespace attnd::families {
namespace {

constexpr NameRule kNames[] = {
    {"embed.tokens.weight", "embeddings.word_embeddings.weight"},
    {"embed.positions.weight", "embeddings.position_embeddings.weight"},
    {"embed.norm.*", "embeddings.LayerNorm.*"},
    {"encoder.relative_bias.weight", "encoder.relative_attention_bias.weight"},
    {"encoder.{i}.attention.q.*", "encoder.layer.{i}.attention.attn.q.*"},
    {"encoder.{i}.attention.k.*", "encoder.layer.{i}.attention.attn.k.*"},
    {"encoder.{i}.attention.v.*", "encoder.layer.{i}.attention.attn.v.*"},
    {"encoder.{i}.attention.out.*", "encoder.layer.{i}.attention.attn.o.*"},
    {"encoder.{i}.attention.norm.*", "encoder.layer.{i}.attention.LayerNorm.*"},
    {"encoder.{i}.ffn.up.*", "encoder.layer.{i}.intermediate.dense.*"},
    {"encoder.{i}.ffn.down.*", "encoder.layer.{i}.output.dense.*"},
    {"encoder.{i}.ffn.norm.*", "encoder.layer.{i}.output.LayerNorm.*"},
    {"pooler.*", "pooler.dense.*"},
};
constexpr std::string_view kPrefixes[] = {"", "mpnet."};

constexpr NameRule kSequence[] = {{"head.dense.*", "/classifier.dense.*"},
                                  {"head.out.*", "/classifier.out_proj.*"}};
constexpr NameRule kTokens[] = {{"head.out.*", "/classifier.*"}};
constexpr NameRule kSpan[] = {{"head.out.*", "/qa_outputs.*"}};
constexpr NameRule kVocabulary[] = {
    {"head.dense.*", "/lm_head.dense.*"},           {"head.norm.*", "/lm_head.layer_norm.*"},
    {"head.out.weight", "/lm_head.decoder.weight"}, {"head.out.bias", "/lm_head.bias"},
    {"head.out.bias", "/lm_head.decoder.bias"},
};
constexpr HeadOfClass kHeads[] = {
    {"ForSequenceClassification",
     {.kind = HeadKind::kSequenceLabels, .dense = true, .activation = Activation::kTanh},
     kSequence},
    {"ForTokenClassification", {.kind = HeadKind::kTokenLabels}, kTokens},
    {"ForQuestionAnswering", {.kind = HeadKind::kSpan}, kSpan},
    {"ForMaskedLM",
     {.kind = HeadKind::kVocabulary,
      .dense = true,
      .activation = Activation::kGeluErf,
      .norm = true},
     kVocabulary},
};

// Fixed in transformers' code; config.json's relative_attention_num_buckets sizes the table alone.
constexpr int32_t kBuckets = 32;
constexpr int32_t kDistanceMax = 128;
// In transformers' code, whatever config.json's pad_token_id is.
constexpr int32_t kPadding = 1;

}  // namespace

ArchSpec Mpnet(JsonFields& config) {
  RefuseUnsupported(config);
  const int32_t hidden = Int(config, "hidden_size", 1, kHiddenMax);
  const int32_t heads = Int(config, "num_attention_heads", 1, kHiddenMax);
  CheckHeads(config, {"num_attention_heads", heads}, {"hidden_size", hidden});
  const int32_t positions = Int(config, "max_position_embeddings", kPadding + 2, kPositionsMax);
  const int32_t buckets = IntOr(config, "relative_attention_num_buckets", 1, 1024, kBuckets);
  if (buckets != kBuckets) {
    config.Fail("relative_attention_num_buckets",
                "is not 32, which distances are sorted into whatever it says");
  }
  ArchSpec arch{
      .hidden = hidden,
      .vocabulary = Int(config, "vocab_size", 1, kVocabularyMax),
      .length_max = positions - (kPadding + 1),
      .norm_epsilon = Epsilon(config, "layer_norm_eps", 1e-12),
      .embed = {.positions = positions,
                .position_offset = kPadding + 1,
                .unplaced_token = kPadding},
      .encoder = {.layers = Int(config, "num_hidden_layers", 1, kLayersMax),
                  .heads = heads,
                  .head_size = hidden / heads,
                  .inner = Int(config, "intermediate_size", 1, kInnerMax),
                  .activation = ReadActivation(config, "hidden_act"),
                  .relative = {.buckets = kBuckets, .distance_max = kDistanceMax}},
      .pooler = true,
      .names = kNames,
      .prefixes = kPrefixes,
  };
  ReadHead(config, kHeads, arch);
  return arch;
}

}  // namespace attnd::families
