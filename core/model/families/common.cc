#include "core/model/families/common.h"

#include <vector>

#include "core/base/printable.h"
#include "core/base/strings.h"
#include "core/model/families.h"

namespace attnd::families {
namespace {

struct ActivationName {
  std::string_view name;
  Activation activation;
};
constexpr ActivationName kActivations[] = {
    {"gelu", Activation::kGeluErf},
    {"gelu_new", Activation::kGeluTanh},
    {"gelu_pytorch_tanh", Activation::kGeluTanh},
    {"relu", Activation::kRelu},
    {"silu", Activation::kSilu},
    {"swish", Activation::kSilu},
    {"tanh", Activation::kTanh},
};
constexpr size_t kLabelBytesMax = 256;

// The class that the checkpoint was saved from; empty if config.json does not say.
std::string ReadClass(JsonFields& config) {
  const nlohmann::json* names = config.Find("architectures");
  if (names == nullptr) return {};
  if (!names->is_array() || (!names->empty() && !names->front().is_string())) {
    config.Fail("architectures", "is no list of names");
    return {};
  }
  return names->empty() ? std::string() : names->front().get<std::string>();
}

bool IsWholeNumber(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// id2label, {"0": "negative", ...}: whole numbers, and texts or nulls.
void CheckLabels(JsonFields& config, const nlohmann::json& by_id) {
  if (!by_id.is_object() || by_id.empty() || by_id.size() > kLabelsMax) {
    config.Fail("id2label", StrCat("is no object of 1 to ", kLabelsMax, " labels"));
    return;
  }
  for (const auto& [id, label] : by_id.items()) {
    if (!IsWholeNumber(id)) {
      config.Fail("id2label", StrCat("has ", Printable(id), ", which is no id"));
    }
    if (!label.is_null() &&
        (!label.is_string() || label.get_ref<const std::string&>().size() > kLabelBytesMax)) {
      config.Fail("id2label",
                  StrCat("has no text of at most ", kLabelBytesMax, " bytes for ", Printable(id)));
    }
  }
}

// As in transformers there are as many labels as id2label has entries, whatever their ids, or
// num_labels, which is 2 if nothing is said. A label without a name is "LABEL_<id>".
std::vector<std::string> ReadLabels(JsonFields& config) {
  const nlohmann::json* by_id = config.Find("id2label");
  if (by_id != nullptr) {
    CheckLabels(config, *by_id);
    if (!config.status().ok()) return {};
  }
  const int32_t count = by_id != nullptr ? static_cast<int32_t>(by_id->size())
                                         : IntOr(config, "num_labels", 1, kLabelsMax, 2);
  std::vector<std::string> labels;
  for (int32_t id = 0; id < count; ++id) {
    labels.push_back(StrCat("LABEL_", id));
    if (by_id == nullptr) continue;
    const auto name = by_id->find(std::to_string(id));
    if (name != by_id->end() && name->is_string()) labels.back() = name->get<std::string>();
  }
  return labels;
}

// A cross-encoder's own, which sentence-transformers stores as the name of a class of torch's, in a
// field of its own up to 3 and in an object of its own from 4 on. Empty: config.json names none.
std::string CrossEncoderFunction(JsonFields& config) {
  const nlohmann::json* own = config.Find("sentence_transformers");
  if (own != nullptr && own->is_object() && own->contains("activation_fn") &&
      (*own)["activation_fn"].is_string()) {
    return (*own)["activation_fn"].get<std::string>();
  }
  return config.StringOr("sbert_ce_default_activation_function", "");
}

// A cross-encoder's own, else as transformers' text-classification pipeline chooses it.
ScoreFunction ReadScoreFunction(JsonFields& config, size_t labels) {
  if (const std::string function = CrossEncoderFunction(config); !function.empty()) {
    if (function.ends_with(".Identity")) return ScoreFunction::kNone;
    if (function.ends_with(".Sigmoid")) return ScoreFunction::kSigmoid;
    config.Fail("activation_fn",
                StrCat("is ", Printable(function), "; Identity and Sigmoid are supported"));
  }
  const std::string type = config.StringOr("problem_type", "");
  if (type == "regression") return ScoreFunction::kNone;
  if (type == "multi_label_classification") return ScoreFunction::kSigmoid;
  if (!type.empty() && type != "single_label_classification") {
    config.Fail("problem_type", StrCat("is ", Printable(type),
                                       "; known are regression, single_label_classification and "
                                       "multi_label_classification"));
  }
  return labels == 1 ? ScoreFunction::kSigmoid : ScoreFunction::kSoftmax;
}

}  // namespace

int32_t Int(JsonFields& config, std::string_view key, int32_t min, int32_t max) {
  return static_cast<int32_t>(config.Int(key, min, max));
}

int32_t IntOr(JsonFields& config, std::string_view key, int32_t min, int32_t max,
              int32_t fallback) {
  return static_cast<int32_t>(config.IntOr(key, min, max, fallback));
}

float Epsilon(JsonFields& config, std::string_view key, double fallback) {
  return static_cast<float>(config.NumberOr(key, 1e-30, 0.1, fallback));
}

Activation ReadActivation(JsonFields& config, std::string_view key) {
  const std::string name = config.StringOr(key, "gelu");
  std::string known;
  for (const ActivationName& entry : kActivations) {
    if (entry.name == name) return entry.activation;
    known = StrCat(known, known.empty() ? "" : ", ", entry.name);
  }
  config.Fail(key, StrCat("is ", Printable(name), "; known are ", known));
  return Activation::kNone;
}

Bias ReadBias(JsonFields& config, std::string_view key, Bias fallback) {
  return config.BoolOr(key, fallback == Bias::kYes) ? Bias::kYes : Bias::kNo;
}

void RefuseUnsupported(JsonFields& config) {
  for (const std::string_view key : {"is_decoder", "add_cross_attention"}) {
    if (config.BoolOr(key, false)) config.Fail(key, "is true; only encoders are supported");
  }
  if (config.Has("quantization_config"))
    config.Fail("quantization_config", "is present; quantized weights are not read");
}

void RefuseRelativeKeys(JsonFields& config) {
  const std::string positions = config.StringOr("position_embedding_type", "absolute");
  if (positions != "absolute") {
    config.Fail("position_embedding_type",
                StrCat("is ", Printable(positions), "; only absolute is supported"));
  }
}

void CheckHeads(JsonFields& config, const Field& heads, const Field& hidden) {
  if (hidden.value % heads.value == 0) return;
  config.Fail(heads.key, StrCat("is ", heads.value, ", which does not divide ", hidden.key, ", ",
                                hidden.value));
}

void ReadHead(JsonFields& config, std::span<const HeadOfClass> heads, ArchSpec& arch) {
  const std::string name = ReadClass(config);
  for (const HeadOfClass& head : heads) {
    if (!name.ends_with(head.ending)) continue;
    arch.head = head.spec;
    arch.head_names = head.names;
    switch (head.spec.kind) {
      case HeadKind::kSequenceLabels:
      case HeadKind::kTokenLabels:
        arch.labels = ReadLabels(config);
        arch.head.outputs = static_cast<int32_t>(arch.labels.size());
        arch.score_function = head.spec.kind == HeadKind::kTokenLabels
                                  ? ScoreFunction::kSoftmax
                                  : ReadScoreFunction(config, arch.labels.size());
        break;
      case HeadKind::kSpan:
        arch.head.outputs = 2;
        break;
      case HeadKind::kVocabulary:
        arch.head.outputs = arch.vocabulary;
        arch.head.tied = config.BoolOr("tie_word_embeddings", true);
        break;
      case HeadKind::kNone:
        break;
    }
    return;
  }
}

}  // namespace attnd::families
