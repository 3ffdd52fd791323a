#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/base/json.h"
#include "core/model/arch.h"

// What the families' readers share. Each reads typed fields and records what is wrong in `config`.
namespace attnd::families {

ArchSpec Bert(JsonFields& config);
ArchSpec Roberta(JsonFields& config);
ArchSpec DistilBert(JsonFields& config);
ArchSpec Mpnet(JsonFields& config);
ArchSpec ModernBert(JsonFields& config);
ArchSpec T5Encoder(JsonFields& config);
ArchSpec Mt5Encoder(JsonFields& config);

int32_t Int(JsonFields& config, std::string_view key, int32_t min, int32_t max);
int32_t IntOr(JsonFields& config, std::string_view key, int32_t min, int32_t max, int32_t fallback);
float Epsilon(JsonFields& config, std::string_view key, double fallback);
// "gelu" if the field is absent.
Activation ReadActivation(JsonFields& config, std::string_view key);
// `fallback` if the field is absent.
Bias ReadBias(JsonFields& config, std::string_view key, Bias fallback);

// Settings that change answers and that no block here computes.
void RefuseUnsupported(JsonFields& config);
// The same for position_embedding_type, which BERT and RoBERTa read.
void RefuseRelativeKeys(JsonFields& config);
// A field, and what it holds.
struct Field {
  std::string_view key;
  int32_t value;
};
// Fails unless the number of heads divides the hidden size.
void CheckHeads(JsonFields& config, const Field& heads, const Field& hidden);

// A head, by what the name of its class in transformers ends with: "ForMaskedLM".
struct HeadOfClass {
  std::string_view ending;
  HeadSpec spec;  // Without the outputs and the activation of kVocabulary.
  std::span<const NameRule> names;
};
// Fills arch.head and what goes with it from the class that `architectures` names; none of `heads`:
// no head. Call when arch.vocabulary and the activation are known.
void ReadHead(JsonFields& config, std::span<const HeadOfClass> heads, ArchSpec& arch);

}  // namespace attnd::families
