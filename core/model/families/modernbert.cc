// ModernBERT (Warner et al. 2024): rotary positions, gated GELU, norms before the sublayers, and
// layers that see everything between layers that see a window.
#include "core/base/printable.h"
#include "core/base/strings.h"
#include "core/model/families.h"
#include "core/model/families/common.h"

namespace attnd::families {
namespace {

constexpr NameRule kNames[] = {
    {"embed.tokens.weight", "embeddings.tok_embeddings.weight"},
    {"embed.norm.*", "embeddings.norm.*"},
    {"encoder.{i}.attention.q.*", "layers.{i}.attn.Wqkv.*", 0, 3},
    {"encoder.{i}.attention.k.*", "layers.{i}.attn.Wqkv.*", 1, 3},
    {"encoder.{i}.attention.v.*", "layers.{i}.attn.Wqkv.*", 2, 3},
    {"encoder.{i}.attention.out.*", "layers.{i}.attn.Wo.*"},
    {"encoder.{i}.attention.norm.*", "layers.{i}.attn_norm.*"},
    {"encoder.{i}.ffn.up.*", "layers.{i}.mlp.Wi.*", 0, 2},
    {"encoder.{i}.ffn.gate.*", "layers.{i}.mlp.Wi.*", 1, 2},
    {"encoder.{i}.ffn.down.*", "layers.{i}.mlp.Wo.*"},
    {"encoder.{i}.ffn.norm.*", "layers.{i}.mlp_norm.*"},
    {"encoder.norm.*", "final_norm.*"},
};
constexpr std::string_view kPrefixes[] = {"", "model."};

constexpr NameRule kClassifier[] = {{"head.dense.*", "/head.dense.*"},
                                    {"head.norm.*", "/head.norm.*"},
                                    {"head.out.*", "/classifier.*"}};
constexpr NameRule kVocabulary[] = {{"head.dense.*", "/head.dense.*"},
                                    {"head.norm.*", "/head.norm.*"},
                                    {"head.out.*", "/decoder.*"}};

constexpr double kThetaMin = 1, kThetaMax = 1e9;

// The angles' base of one kind of layer. transformers 5.x has an object for each kind; 4.x has
// numbers of its own, which 5.x takes where the object has none.
float ReadTheta(JsonFields& config, std::string_view kind, std::string_view old_key,
                double fallback) {
  fallback = config.NumberOr(old_key, kThetaMin, kThetaMax, fallback);
  const nlohmann::json* all = config.Find("rope_parameters");
  if (all == nullptr) return static_cast<float>(fallback);
  if (!all->is_object() || !all->contains(kind)) {
    config.Fail("rope_parameters", StrCat("has nothing for ", kind));
    return static_cast<float>(fallback);
  }
  JsonFields rope((*all)[std::string(kind)], StrCat("rope_parameters: ", kind));
  const std::string type = rope.StringOr("rope_type", rope.StringOr("type", "default"));
  if (type != "default") {
    rope.Fail("rope_type", StrCat("is ", Printable(type), "; only default is supported"));
  }
  const double theta = rope.NumberOr("rope_theta", kThetaMin, kThetaMax, fallback);
  if (!rope.status().ok()) config.Fail("rope_parameters", ToStd(rope.status().message()));
  return static_cast<float>(theta);
}

// Which layers are local: named one by one (5.x), or all but every n-th (4.x).
std::vector<uint8_t> ReadLocalLayers(JsonFields& config, int32_t layers) {
  std::vector<uint8_t> local;
  const nlohmann::json* types = config.Find("layer_types");
  if (types == nullptr) {
    const int32_t every = IntOr(config, "global_attn_every_n_layers", 1, kLayersMax, 3);
    for (int32_t i = 0; i < layers; ++i) local.push_back(i % every != 0);
    return local;
  }
  if (!types->is_array() || types->size() != static_cast<size_t>(layers)) {
    config.Fail("layer_types", StrCat("is no list of ", layers, " names"));
    return local;
  }
  for (const nlohmann::json& type : *types) {
    if (type != "full_attention" && type != "sliding_attention") {
      config.Fail("layer_types", "has a name besides full_attention and sliding_attention");
    }
    local.push_back(type == "sliding_attention");
  }
  return local;
}

Pooling ReadClassifierPooling(JsonFields& config) {
  const std::string pooling = config.StringOr("classifier_pooling", "cls");
  if (pooling == "mean") return Pooling::kMean;
  if (pooling != "cls") {
    config.Fail("classifier_pooling",
                StrCat("is ", Printable(pooling), "; known are cls and mean"));
  }
  return Pooling::kCls;
}

StackSpec ReadStack(JsonFields& config, int32_t hidden) {
  const int32_t heads = Int(config, "num_attention_heads", 1, kHiddenMax);
  CheckHeads(config, {"num_attention_heads", heads}, {"hidden_size", hidden});
  StackSpec stack{
      .layers = Int(config, "num_hidden_layers", 1, kLayersMax),
      .heads = heads,
      .head_size = hidden / heads,
      .inner = Int(config, "intermediate_size", 1, kInnerMax),
      .norm_at = NormAt::kBefore,
      .activation = ReadActivation(config, "hidden_activation"),
      .gated = true,
      .attention_bias = ReadBias(config, "attention_bias", Bias::kNo),
      .ffn_bias = ReadBias(config, "mlp_bias", Bias::kNo),
      .norm_bias = ReadBias(config, "norm_bias", Bias::kNo),
      .first_norm = false,  // The embedding's norm is in its place.
      .final_norm = true,
  };
  if (stack.head_size % 2 != 0) {
    config.Fail("num_attention_heads", "leaves heads of an odd size, which rotary cannot pair");
  }
  stack.theta = ReadTheta(config, "full_attention", "global_rope_theta", 160'000);
  // Null, unlike absent, means that of the other layers.
  const bool as_global = config.IsNull("local_rope_theta") && !config.Has("rope_parameters");
  stack.local_theta =
      as_global ? stack.theta : ReadTheta(config, "sliding_attention", "local_rope_theta", 10'000);
  stack.window = IntOr(config, "local_attention", 2, 2 * kPositionsMax, 128) / 2;
  // transformers 5.x sets the one from the other, the later of the two in the file winning.
  if (IntOr(config, "sliding_window", 1, kPositionsMax, stack.window) != stack.window) {
    config.Fail("sliding_window", StrCat("is not half of local_attention, ", stack.window));
  }
  stack.local_layers = ReadLocalLayers(config, stack.layers);
  return stack;
}

}  // namespace

ArchSpec ModernBert(JsonFields& config) {
  RefuseUnsupported(config);
  if (config.Has("rope_scaling")) config.Fail("rope_scaling", "is present; it is not supported");
  const int32_t hidden = Int(config, "hidden_size", 1, kHiddenMax);
  ArchSpec arch{
      .hidden = hidden,
      .vocabulary = Int(config, "vocab_size", 1, kVocabularyMax),
      .length_max = Int(config, "max_position_embeddings", 1, kPositionsMax),
      .norm_epsilon = Epsilon(config, "norm_eps", 1e-5),
      .encoder = ReadStack(config, hidden),
      .names = kNames,
      .prefixes = kPrefixes,
  };
  const HeadSpec base{.dense = true,
                      .activation = ReadActivation(config, "classifier_activation"),
                      .dense_bias = ReadBias(config, "classifier_bias", Bias::kNo),
                      .norm = true,
                      .norm_bias = arch.encoder.norm_bias};
  HeadSpec sequence = base, tokens = base, span = base, vocabulary = base;
  sequence.kind = HeadKind::kSequenceLabels;
  sequence.pooling = ReadClassifierPooling(config);
  tokens.kind = HeadKind::kTokenLabels;
  span.kind = HeadKind::kSpan;
  vocabulary.kind = HeadKind::kVocabulary;
  vocabulary.out_bias = ReadBias(config, "decoder_bias", Bias::kYes);
  const HeadOfClass heads[] = {
      {"ForSequenceClassification", sequence, kClassifier},
      {"ForTokenClassification", tokens, kClassifier},
      {"ForQuestionAnswering", span, kClassifier},
      {"ForMaskedLM", vocabulary, kVocabulary},
  };
  ReadHead(config, heads, arch);
  return arch;
}

}  // namespace attnd::families
