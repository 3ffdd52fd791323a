// The encoder of T5 (Raffel et al. 2020): RMS norms before the sublayers, a bias by distance in
// place of positions, scores that are not scaled, no biases.
#include <algorithm>
#include <array>
#include <iterator>

#include "core/base/printable.h"
#include "core/base/strings.h"
#include "core/model/families.h"
#include "core/model/families/common.h"

namespace attnd::families {
namespace {

constexpr NameRule kCommonNames[] = {
    {"embed.tokens.weight", "shared.weight"},
    {"embed.tokens.weight", "encoder.embed_tokens.weight"},
    {"encoder.relative_bias.weight",
     "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"},
    {"encoder.{i}.attention.q.*", "encoder.block.{i}.layer.0.SelfAttention.q.*"},
    {"encoder.{i}.attention.k.*", "encoder.block.{i}.layer.0.SelfAttention.k.*"},
    {"encoder.{i}.attention.v.*", "encoder.block.{i}.layer.0.SelfAttention.v.*"},
    {"encoder.{i}.attention.out.*", "encoder.block.{i}.layer.0.SelfAttention.o.*"},
    {"encoder.{i}.attention.norm.*", "encoder.block.{i}.layer.0.layer_norm.*"},
    {"encoder.{i}.ffn.down.*", "encoder.block.{i}.layer.1.DenseReluDense.wo.*"},
    {"encoder.{i}.ffn.norm.*", "encoder.block.{i}.layer.1.layer_norm.*"},
    {"encoder.norm.*", "encoder.final_layer_norm.*"},
};
// A gated layer's tensors, in a checkpoint that config.json says is not gated, are no substitute.
constexpr NameRule kPlainNames[] = {
    {"encoder.{i}.ffn.up.*", "encoder.block.{i}.layer.1.DenseReluDense.wi.*"},
};
constexpr NameRule kGatedNames[] = {
    {"encoder.{i}.ffn.up.*", "encoder.block.{i}.layer.1.DenseReluDense.wi_0.*"},
    {"encoder.{i}.ffn.gate.*", "encoder.block.{i}.layer.1.DenseReluDense.wi_1.*"},
};

template <size_t N>
constexpr auto WithCommonNames(const NameRule (&names)[N]) {
  std::array<NameRule, std::size(kCommonNames) + N> all{};
  std::copy(std::begin(names), std::end(names),
            std::copy(std::begin(kCommonNames), std::end(kCommonNames), all.begin()));
  return all;
}
constexpr auto kPlain = WithCommonNames(kPlainNames);
constexpr auto kGated = WithCommonNames(kGatedNames);
constexpr std::string_view kPrefixes[] = {""};

// Distances know no end, but tables and workspaces do: what T5 was trained on, unless config.json
// says more.
constexpr int32_t kLengthMax = 512;

struct FeedForwardName {
  std::string_view name;
  Activation activation;
  bool gated;
};
constexpr FeedForwardName kFeedForwards[] = {
    {"relu", Activation::kRelu, false},          {"gelu", Activation::kGeluErf, false},
    {"gated-gelu", Activation::kGeluTanh, true},  // transformers takes "gelu_new" here.
    {"gated-relu", Activation::kRelu, true},     {"gated-silu", Activation::kSilu, true},
};

void ReadProjection(JsonFields& config, std::string_view fallback, StackSpec& stack) {
  const std::string name = config.StringOr("feed_forward_proj", fallback);
  std::string known;
  for (const FeedForwardName& entry : kFeedForwards) {
    if (entry.name == name) {
      stack.activation = entry.activation;
      stack.gated = entry.gated;
      return;
    }
    known = StrCat(known, known.empty() ? "" : ", ", entry.name);
  }
  config.Fail("feed_forward_proj", StrCat("is ", Printable(name), "; known are ", known));
}

// transformers derives two fields from feed_forward_proj, and takes them from config.json where
// they are there.
void ReadFeedForward(JsonFields& config, std::string_view fallback, StackSpec& stack) {
  ReadProjection(config, fallback, stack);
  if (config.Has("dense_act_fn")) stack.activation = ReadActivation(config, "dense_act_fn");
  stack.gated = config.BoolOr("is_gated_act", stack.gated);
}

RelativeBiasSpec ReadRelativeBias(JsonFields& config) {
  RelativeBiasSpec relative{
      .buckets = IntOr(config, "relative_attention_num_buckets", 4, 4096, 32),
      .distance_max = IntOr(config, "relative_attention_max_distance", 2, kPositionsMax, 128)};
  if (relative.buckets % 4 != 0) {
    config.Fail("relative_attention_num_buckets",
                StrCat("is ", relative.buckets, "; a multiple of 4 is wanted"));
  }
  if (relative.distance_max <= relative.buckets / 4) {
    config.Fail("relative_attention_max_distance",
                StrCat("is ", relative.distance_max, "; it must be above a quarter of ",
                       relative.buckets, " buckets"));
  }
  return relative;
}

ArchSpec Describe(JsonFields& config, std::string_view projection) {
  RefuseUnsupported(config);
  ArchSpec arch{
      .hidden = Int(config, "d_model", 1, kHiddenMax),
      .vocabulary = Int(config, "vocab_size", 1, kVocabularyMax),
      .length_max = IntOr(config, "n_positions", 1, kPositionsMax, kLengthMax),
      .norm_epsilon = Epsilon(config, "layer_norm_epsilon", 1e-6),
      .embed = {.norm = false},
      .encoder = {.layers = Int(config, "num_layers", 1, kLayersMax),
                  .heads = Int(config, "num_heads", 1, kHiddenMax),
                  .head_size = Int(config, "d_kv", 1, kHiddenMax),
                  .inner = Int(config, "d_ff", 1, kInnerMax),
                  .norm = NormKind::kRms,
                  .norm_at = NormAt::kBefore,
                  .scaled = false,
                  .attention_bias = Bias::kNo,
                  .ffn_bias = Bias::kNo,
                  .norm_bias = Bias::kNo,
                  .final_norm = true,
                  .relative = ReadRelativeBias(config)},
      .prefixes = kPrefixes,
  };
  ReadFeedForward(config, projection, arch.encoder);
  arch.names = arch.encoder.gated ? std::span<const NameRule>(kGated) : kPlain;
  if (int64_t{arch.encoder.heads} * arch.encoder.head_size > kHiddenMax) {
    config.Fail("num_heads", StrCat("times d_kv is above ", kHiddenMax));
  }
  return arch;
}

}  // namespace

ArchSpec T5Encoder(JsonFields& config) { return Describe(config, "relu"); }
ArchSpec Mt5Encoder(JsonFields& config) { return Describe(config, "gated-gelu"); }

}  // namespace attnd::families
