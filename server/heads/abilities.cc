#include "server/heads/abilities.h"

#include <array>
#include <string>
#include <string_view>

#include "core/base/strings.h"
#include "server/validate/error.h"

namespace attnd {
namespace {

struct Described {
  Ability ability;
  std::string_view method;
  std::string_view needs;
};

constexpr std::array<Described, 7> kAbilities = {{
    {Ability::kClassify, "Classify", "a head for labels of sequences"},
    {Ability::kClassifyTokens, "ClassifyTokens", "a head for labels of tokens"},
    {Ability::kRerank, "Rerank", "a head for labels of sequences with exactly one label"},
    {Ability::kFillMask, "FillMask", "a head for the vocabulary, and a mask token"},
    {Ability::kAnswer, "Answer", "a head for the spans of answers"},
    {Ability::kTokenize, "Tokenize", "a tokenizer"},
    {Ability::kDetokenize, "Detokenize", "a tokenizer"},
}};

std::string HeadText(const ModelInfo& info) {
  switch (info.head) {
    case HeadKind::kNone:
      return "no head";
    case HeadKind::kSequenceLabels:
      return StrCat("a head for ", info.labels.size(), " labels of sequences");
    case HeadKind::kTokenLabels:
      return StrCat("a head for ", info.labels.size(), " labels of tokens");
    case HeadKind::kSpan:
      return "a head for the spans of answers";
    case HeadKind::kVocabulary:
      return "a head for the vocabulary";
  }
  return "no head";
}

}  // namespace

bool Can(Ability ability, const ServedModel& model) {
  const bool has_tokenizer = static_cast<bool>(model.tokenize);
  switch (ability) {
    case Ability::kClassify:
      return model.info.head == HeadKind::kSequenceLabels;
    case Ability::kClassifyTokens:
      return model.info.head == HeadKind::kTokenLabels;
    case Ability::kRerank:
      return model.info.head == HeadKind::kSequenceLabels && model.info.labels.size() == 1 &&
             has_tokenizer;
    case Ability::kFillMask:
      return model.info.head == HeadKind::kVocabulary && model.mask_id.has_value();
    case Ability::kAnswer:
      return model.info.head == HeadKind::kSpan && has_tokenizer;
    case Ability::kTokenize:
      return has_tokenizer;
    case Ability::kDetokenize:
      return static_cast<bool>(model.decode);
  }
  return false;
}

absl::Status CheckCan(Ability ability, const ServedModel& model) {
  if (Can(ability, model)) return absl::OkStatus();
  std::string method, needs, able = "Encode";
  for (const Described& described : kAbilities) {
    if (described.ability == ability) {
      method = described.method;
      needs = described.needs;
    } else if (Can(described.ability, model)) {
      able += StrCat(", ", described.method);
    }
  }
  return Refuse(v1::ERROR_REASON_NOT_SUPPORTED_BY_MODEL, "",
                StrCat(method, " needs ", needs, "; the model has ", HeadText(model.info),
                       model.tokenize ? "" : " and no tokenizer", ", and can do: ", able));
}

}  // namespace attnd
