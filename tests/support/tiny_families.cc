#include "tests/support/tiny_families.h"

#include <array>
#include <filesystem>
#include <string_view>
#include <utility>

#include "tests/support/bytes.h"
#include "tests/support/tensor_maker.h"

namespace attnd::testing {
namespace {

using Json = nlohmann::json;

// A family whose layers are BERT's by other names.
struct Names {
  std::string_view layer;  // What goes before a layer's number, and the names below behind it.
  std::string_view q, k, v, out, out_norm, up, down, down_norm;
};

constexpr Names kBert = {
    "encoder.layer.",       "attention.self.query",   "attention.self.key",
    "attention.self.value", "attention.output.dense", "attention.output.LayerNorm",
    "intermediate.dense",   "output.dense",           "output.LayerNorm"};
constexpr Names kDistilBert = {"transformer.layer.", "attention.q_lin",   "attention.k_lin",
                               "attention.v_lin",    "attention.out_lin", "sa_layer_norm",
                               "ffn.lin1",           "ffn.lin2",          "output_layer_norm"};
constexpr Names kMpnet = {"encoder.layer.",     "attention.attn.q", "attention.attn.k",
                          "attention.attn.v",   "attention.attn.o", "attention.LayerNorm",
                          "intermediate.dense", "output.dense",     "output.LayerNorm"};

const Names& NamesOf(const std::string& family) {
  if (family == "distilbert") return kDistilBert;
  return family == "mpnet" ? kMpnet : kBert;
}

bool CountsFromPadding(const std::string& family) {
  return family == "roberta" || family == "xlm-roberta" || family == "mpnet";
}
bool HasTypes(const std::string& family) { return family != "distilbert" && family != "mpnet"; }

int32_t TypesOf(const std::string& family) { return family == "bert" ? 2 : 1; }

// Rows of the position table.
int32_t PositionsOf(const TinyModel& model) {
  return model.positions + (CountsFromPadding(model.family) ? 2 : 0);
}

std::string PrefixOf(const TinyModel& model) {
  if (model.prefix != TinyModel::kAuto) return model.prefix;
  if (model.head == HeadKind::kNone || model.family == "t5") return "";
  if (model.family == "xlm-roberta") return "roberta.";
  return model.family == "modernbert" ? "model." : model.family + ".";
}

std::string Architecture(const TinyModel& model) {
  if (model.family == "t5") return "T5EncoderModel";
  constexpr std::pair<std::string_view, std::string_view> kClasses[] = {
      {"bert", "Bert"},
      {"roberta", "Roberta"},
      {"xlm-roberta", "XLMRoberta"},
      {"distilbert", "DistilBert"},
      {"mpnet", "MPNet"},
      {"modernbert", "ModernBert"}};
  constexpr std::array<std::string_view, 5> kTasks = {"Model", "ForSequenceClassification",
                                                      "ForTokenClassification",
                                                      "ForQuestionAnswering", "ForMaskedLM"};
  for (const auto& [family, name] : kClasses) {
    if (family == model.family) {
      return std::string(name).append(kTasks[static_cast<size_t>(model.head)]);
    }
  }
  return "NovelModel";
}

void AddBert(const TinyModel& model, const std::string& prefix, TensorMaker& make) {
  const int64_t hidden = model.hidden;
  const std::string embeddings = prefix + "embeddings.";
  make.Add(embeddings + "word_embeddings.weight", {TinyVocabularySize(), hidden});
  make.Add(embeddings + "position_embeddings.weight", {PositionsOf(model), hidden});
  if (HasTypes(model.family)) {
    make.Add(embeddings + "token_type_embeddings.weight", {TypesOf(model.family), hidden});
  }
  make.AddNorm(embeddings + "LayerNorm", hidden);
  if (model.family == "mpnet") {
    make.Add(prefix + "encoder.relative_attention_bias.weight", {32, model.heads});
  }
  const Names& names = NamesOf(model.family);
  for (int32_t i = 0; i < model.layers; ++i) {
    const auto name = [&](std::string_view part) {
      return std::string(prefix)
          .append(names.layer)
          .append(std::to_string(i))
          .append(".")
          .append(part);
    };
    make.AddDense(name(names.q), hidden, hidden);
    make.AddDense(name(names.k), hidden, hidden);
    make.AddDense(name(names.v), hidden, hidden);
    make.AddDense(name(names.out), hidden, hidden);
    make.AddNorm(name(names.out_norm), hidden);
    make.AddDense(name(names.up), model.inner, hidden);
    make.AddDense(name(names.down), hidden, model.inner);
    make.AddNorm(name(names.down_norm), hidden);
  }
  const bool bare = model.head == HeadKind::kNone && model.pooler;
  const bool classifies = model.family == "bert" && model.head == HeadKind::kSequenceLabels;
  if ((bare && model.family != "distilbert") || classifies) {
    make.AddDense(prefix + "pooler.dense", hidden, hidden);
  }
}

void AddModernBert(const TinyModel& model, const std::string& prefix, TensorMaker& make) {
  const int64_t hidden = model.hidden;
  make.Add(prefix + "embeddings.tok_embeddings.weight", {TinyVocabularySize(), hidden});
  make.AddScale(prefix + "embeddings.norm", hidden);
  for (int32_t i = 0; i < model.layers; ++i) {
    const std::string layer = prefix + "layers." + std::to_string(i) + ".";
    if (i > 0) make.AddScale(layer + "attn_norm", hidden);
    make.Add(layer + "attn.Wqkv.weight", {3 * hidden, hidden});
    make.Add(layer + "attn.Wo.weight", {hidden, hidden});
    make.AddScale(layer + "mlp_norm", hidden);
    make.Add(layer + "mlp.Wi.weight", {2 * int64_t{model.inner}, hidden});
    make.Add(layer + "mlp.Wo.weight", {hidden, model.inner});
  }
  make.AddScale(prefix + "final_norm", hidden);
}

// Heads of twice the usual width: together they are wider than a row.
int64_t T5HeadSize(const TinyModel& model) { return 2 * model.hidden / model.heads; }

void AddT5(const TinyModel& model, TensorMaker& make) {
  const int64_t hidden = model.hidden;
  const int64_t wide = T5HeadSize(model) * model.heads;
  make.Add("shared.weight", {TinyVocabularySize(), hidden});
  for (int32_t i = 0; i < model.layers; ++i) {
    const std::string block = "encoder.block." + std::to_string(i) + ".layer.";
    for (const char* name : {"q", "k", "v"}) {
      make.Add(block + "0.SelfAttention." + name + ".weight", {wide, hidden});
    }
    make.Add(block + "0.SelfAttention.o.weight", {hidden, wide});
    if (i == 0) {
      make.Add(block + "0.SelfAttention.relative_attention_bias.weight", {16, model.heads});
    }
    make.AddScale(block + "0.layer_norm", hidden);
    const std::string dense = block + "1.DenseReluDense.";
    make.Add(dense + (model.gated ? "wi_0.weight" : "wi.weight"), {model.inner, hidden});
    if (model.gated) make.Add(dense + "wi_1.weight", {model.inner, hidden});
    make.Add(dense + "wo.weight", {hidden, model.inner});
    make.AddScale(block + "1.layer_norm", hidden);
  }
  make.AddScale("encoder.final_layer_norm", hidden);
}

// The layers of a vocabulary head: dense, norm, and the bias of the scores.
std::array<std::string, 3> VocabularyNames(const std::string& family) {
  if (family == "bert") {
    return {"cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm",
            "cls.predictions.bias"};
  }
  if (family == "distilbert")
    return {"vocab_transform", "vocab_layer_norm", "vocab_projector.bias"};
  if (family == "modernbert") return {"head.dense", "head.norm", "decoder.bias"};
  return {"lm_head.dense", "lm_head.layer_norm", "lm_head.bias"};
}

void AddLabels(const TinyModel& model, TensorMaker& make) {
  const int64_t hidden = model.hidden;
  if (model.family == "distilbert") make.AddDense("pre_classifier", hidden, hidden);
  const bool two_layers = CountsFromPadding(model.family);
  if (two_layers) make.AddDense("classifier.dense", hidden, hidden);
  make.AddDense(two_layers ? "classifier.out_proj" : "classifier", model.labels, hidden);
}

void AddHead(const TinyModel& model, TensorMaker& make) {
  const int64_t hidden = model.hidden;
  const bool modern = model.family == "modernbert";
  if (modern && model.head != HeadKind::kNone) {
    make.Add("head.dense.weight", {hidden, hidden});
    make.AddScale("head.norm", hidden);
  }
  switch (model.head) {
    case HeadKind::kNone:
      return;
    case HeadKind::kSequenceLabels:
      return AddLabels(model, make);
    case HeadKind::kTokenLabels:
      return make.AddDense("classifier", model.labels, hidden);
    case HeadKind::kSpan:
      return make.AddDense(modern ? "classifier" : "qa_outputs", 2, hidden);
    case HeadKind::kVocabulary: {
      const auto [dense, norm, bias] = VocabularyNames(model.family);
      if (!modern) {
        make.AddDense(dense, hidden, hidden);
        make.AddNorm(norm, hidden);
      }
      return make.Add(bias, {TinyVocabularySize()});
    }
  }
}

Json BertConfig(const TinyModel& model) {
  Json config = {{"hidden_act", "gelu"},
                 {"hidden_size", model.hidden},
                 {"intermediate_size", model.inner},
                 {"is_decoder", false},
                 {"layer_norm_eps", model.family == "bert" ? 1e-12 : 1e-5},
                 {"max_position_embeddings", PositionsOf(model)},
                 {"num_attention_heads", model.heads},
                 {"num_hidden_layers", model.layers},
                 {"pad_token_id", CountsFromPadding(model.family) ? 1 : 0},
                 {"position_embedding_type", "absolute"}};
  if (HasTypes(model.family)) config["type_vocab_size"] = TypesOf(model.family);
  if (model.family == "mpnet") config["relative_attention_num_buckets"] = 32;
  return config;
}

Json DistilBertConfig(const TinyModel& model) {
  return {{"activation", "gelu"},      {"dim", model.hidden},
          {"hidden_dim", model.inner}, {"max_position_embeddings", model.positions},
          {"n_heads", model.heads},    {"n_layers", model.layers},
          {"pad_token_id", 0},         {"sinusoidal_pos_embds", false}};
}

Json ModernBertConfig(const TinyModel& model) {
  return {{"attention_bias", false},
          {"classifier_activation", "gelu"},
          {"classifier_bias", false},
          {"classifier_pooling", "mean"},
          {"decoder_bias", true},
          {"global_attn_every_n_layers", 3},
          {"global_rope_theta", 160000.0},
          {"hidden_activation", "gelu"},
          {"hidden_size", model.hidden},
          {"intermediate_size", model.inner},
          {"local_attention", model.local_attention},
          {"local_rope_theta", 10000.0},
          {"max_position_embeddings", model.positions},
          {"mlp_bias", false},
          {"norm_bias", false},
          {"norm_eps", 1e-5},
          {"num_attention_heads", model.heads},
          {"num_hidden_layers", model.layers},
          {"pad_token_id", 0}};
}

Json T5Config(const TinyModel& model) {
  return {{"d_ff", model.inner},
          {"d_kv", T5HeadSize(model)},
          {"d_model", model.hidden},
          {"feed_forward_proj", model.gated ? "gated-gelu" : "relu"},
          {"is_encoder_decoder", false},
          {"layer_norm_epsilon", 1e-6},
          {"num_heads", model.heads},
          {"num_layers", model.layers},
          {"pad_token_id", 0},
          {"relative_attention_max_distance", 24},
          {"relative_attention_num_buckets", 16}};
}

TinyModel ModelOf(const TinyBert& bert) {
  return {.hidden = bert.hidden,
          .layers = bert.layers,
          .heads = bert.heads,
          .inner = bert.inner,
          .positions = bert.positions,
          .pooler = bert.pooler,
          .dtype = bert.dtype,
          .prefix = bert.prefix,
          .seed = bert.seed};
}

}  // namespace

std::vector<RawTensor> TinyBertTensors(const TinyBert& model) {
  return TinyTensors(ModelOf(model));
}
Json TinyBertConfig(const TinyBert& model) { return TinyConfig(ModelOf(model)); }
void WriteTinyBert(const std::string& dir, const TinyBert& model) {
  WriteTinyModel(dir, ModelOf(model));
}

std::vector<RawTensor> TinyTensors(const TinyModel& model) {
  TensorMaker make(model.dtype, model.seed);
  if (model.family == "t5") {
    AddT5(model, make);
  } else if (model.family == "modernbert") {
    AddModernBert(model, PrefixOf(model), make);
  } else {
    AddBert(model, PrefixOf(model), make);
  }
  AddHead(model, make);
  return make.Take();
}

Json TinyConfig(const TinyModel& model) {
  Json config = model.family == "t5"           ? T5Config(model)
                : model.family == "modernbert" ? ModernBertConfig(model)
                : model.family == "distilbert" ? DistilBertConfig(model)
                                               : BertConfig(model);
  config["architectures"] = {Architecture(model)};
  config["model_type"] = model.family;
  config["vocab_size"] = TinyVocabularySize();
  if (model.head == HeadKind::kSequenceLabels || model.head == HeadKind::kTokenLabels) {
    for (int32_t i = 0; i < model.labels; ++i) {
      config["id2label"][std::to_string(i)] = "LABEL_" + std::to_string(i);
    }
  }
  return config;
}

void WriteTinyModel(const std::string& dir, const TinyModel& model) {
  const std::filesystem::path path(dir);
  WriteFile(path / "config.json", TinyConfig(model).dump(2));
  WriteFile(path / "model.safetensors", SafetensorsFile(TinyTensors(model)));
  WriteFile(path / "tokenizer.json", TinyTokenizer());
}

std::vector<TinyModel> TinyModels() {
  std::vector<TinyModel> models;
  for (const char* family :
       {"bert", "roberta", "xlm-roberta", "distilbert", "mpnet", "modernbert"}) {
    for (const HeadKind head : {HeadKind::kNone, HeadKind::kSequenceLabels, HeadKind::kTokenLabels,
                                HeadKind::kSpan, HeadKind::kVocabulary}) {
      models.push_back({.family = family, .head = head});
      if (models.back().family == "modernbert") models.back().layers = 4;
    }
  }
  models.push_back({.family = "t5"});
  models.push_back({.family = "t5", .gated = true});
  return models;
}

std::string NameOf(const TinyModel& model) {
  constexpr std::array<std::string_view, 5> kHeads = {"", "_sequence_labels", "_token_labels",
                                                      "_span", "_vocabulary"};
  std::string name = model.family;
  std::erase(name, '-');
  return name.append(kHeads[static_cast<size_t>(model.head)]).append(model.gated ? "_gated" : "");
}

}  // namespace attnd::testing
