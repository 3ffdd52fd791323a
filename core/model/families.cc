#include "core/model/families.h"

#include <iterator>
#include <utility>

#include "core/base/json.h"
#include "core/base/printable.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"

namespace attnd {
namespace {

constexpr NameRule kBertNames[] = {
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
};
constexpr std::string_view kBertPrefixes[] = {"", "bert."};

// The names of a table, for messages.
template <typename Table>
std::string NamesOf(const Table& table) {
  std::string names;
  for (const auto& entry : table) names = StrCat(names, names.empty() ? "" : ", ", entry.name);
  return names;
}

struct ActivationName {
  std::string_view name;
  Activation activation;
};
constexpr ActivationName kActivations[] = {
    {"gelu", Activation::kGeluErf},
    {"gelu_new", Activation::kGeluTanh},
    {"gelu_pytorch_tanh", Activation::kGeluTanh},
    {"relu", Activation::kRelu},
};

Activation ReadActivation(JsonFields& config, std::string_view key) {
  const std::string name = config.StringOr(key, "gelu");
  for (const ActivationName& known : kActivations) {
    if (known.name == name) return known.activation;
  }
  config.Fail(key, StrCat("is ", Printable(name), "; known are ", NamesOf(kActivations)));
  return Activation::kNone;
}

// Settings that change answers and that no block here computes.
void RefuseUnsupported(JsonFields& config) {
  for (const std::string_view key : {"is_decoder", "add_cross_attention"}) {
    if (config.BoolOr(key, false)) config.Fail(key, "is true; only encoders are supported");
  }
  if (config.Has("quantization_config"))
    config.Fail("quantization_config", "is present; quantized weights are not read");
  const std::string positions = config.StringOr("position_embedding_type", "absolute");
  if (positions != "absolute") {
    config.Fail("position_embedding_type",
                StrCat("is ", Printable(positions), "; only absolute is supported"));
  }
}

int32_t Int(JsonFields& config, std::string_view key, int32_t min, int32_t max) {
  return static_cast<int32_t>(config.Int(key, min, max));
}

ArchSpec Bert(JsonFields& config) {
  RefuseUnsupported(config);
  const int32_t hidden = Int(config, "hidden_size", 1, kHiddenMax);
  const int32_t heads = Int(config, "num_attention_heads", 1, kHiddenMax);
  if (hidden % heads != 0) {
    config.Fail("num_attention_heads",
                StrCat("is ", heads, ", which does not divide hidden_size, ", hidden));
  }
  return {
      .family = "bert",
      .hidden = hidden,
      .vocabulary = Int(config, "vocab_size", 1, kVocabularyMax),
      .norm_epsilon = static_cast<float>(config.NumberOr("layer_norm_eps", 1e-30, 0.1, 1e-12)),
      .embed = {.positions = Int(config, "max_position_embeddings", 1, kPositionsMax),
                .token_types =
                    static_cast<int32_t>(config.IntOr("type_vocab_size", 1, kTokenTypesMax, 2))},
      .encoder = {.layers = Int(config, "num_hidden_layers", 1, kLayersMax),
                  .heads = heads,
                  .head_size = hidden / heads,
                  .inner = Int(config, "intermediate_size", 1, kInnerMax),
                  .activation = ReadActivation(config, "hidden_act")},
      .names = kBertNames,
      .prefixes = kBertPrefixes,
  };
}

struct Family {
  std::string_view name;  // config.json's "model_type".
  ArchSpec (*describe)(JsonFields&);
};
constexpr Family kFamilies[] = {
    {"bert", Bert},
};

}  // namespace

absl::StatusOr<ArchSpec> DescribeArch(const nlohmann::json& config, const std::string& file_name) {
  JsonFields fields(config, file_name);
  const std::string model_type = fields.String("model_type");
  RETURN_IF_ERROR(fields.status());
  for (const Family& family : kFamilies) {
    if (family.name != model_type) continue;
    ArchSpec arch = family.describe(fields);
    RETURN_IF_ERROR(fields.status());
    return arch;
  }
  fields.Fail("model_type",
              StrCat("is ", Printable(model_type), "; known are ", NamesOf(kFamilies)));
  return fields.status();
}

}  // namespace attnd
