#include "core/model/weight_names.h"

#include <optional>
#include <set>
#include <utility>

#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"

namespace attnd {
namespace {

// What `{i}` and `*` of a rule stand for in a name.
struct Match {
  std::string_view layer;
  std::string_view ending;
};

std::optional<Match> MatchRule(std::string_view pattern, std::string_view name) {
  Match match;
  if (const size_t hole = pattern.find("{i}"); hole != std::string_view::npos) {
    const size_t digits_end = name.find('.', hole);
    if (digits_end == std::string_view::npos || name.substr(0, hole) != pattern.substr(0, hole))
      return std::nullopt;
    match.layer = name.substr(hole, digits_end - hole);
    pattern.remove_prefix(hole + 3);
    name.remove_prefix(digits_end);
  }
  if (pattern.ends_with('*')) {
    pattern.remove_suffix(1);
    if (!name.starts_with(pattern)) return std::nullopt;
    match.ending = name.substr(pattern.size());
    if (match.ending != "weight" && match.ending != "bias") return std::nullopt;
    return match;
  }
  if (name != pattern) return std::nullopt;
  return match;
}

void Replace(std::string& text, std::string_view what, std::string_view by) {
  if (const size_t at = text.find(what); at != std::string::npos) text.replace(at, what.size(), by);
}

std::string Translate(std::span<const NameRule> rules, std::string_view ours) {
  for (const NameRule& rule : rules) {
    if (const std::optional<Match> match = MatchRule(rule.ours, ours)) {
      std::string theirs(rule.theirs);
      Replace(theirs, "{i}", match->layer);
      Replace(theirs, "*", match->ending);
      return theirs;
    }
  }
  CHECK_THAT(false && "a name that the family's table lacks");
  return {};
}

void AddDense(std::vector<ExpectedTensor>& tensors, const std::string& name, int64_t out,
              int64_t in) {
  tensors.push_back({StrCat(name, ".weight"), {out, in}});
  tensors.push_back({StrCat(name, ".bias"), {out}});
}

void AddNorm(std::vector<ExpectedTensor>& tensors, const std::string& name, int64_t size) {
  tensors.push_back({StrCat(name, ".weight"), {size}});
  tensors.push_back({StrCat(name, ".bias"), {size}});
}

uint64_t BytesAsFloat(const std::vector<ExpectedTensor>& tensors) {
  uint64_t bytes = 0;
  for (const ExpectedTensor& tensor : tensors) {
    uint64_t elements = 1;
    // Two dimensions at most, each within the config's ranges: no overflow.
    for (const int64_t size : tensor.shape) elements *= static_cast<uint64_t>(size);
    bytes += elements * sizeof(float);
  }
  return bytes;
}

}  // namespace

std::vector<ExpectedTensor> RequiredTensors(const ArchSpec& arch) {
  const int64_t hidden = arch.hidden;
  const int64_t inner = arch.encoder.inner;
  const int64_t attention = int64_t{arch.encoder.heads} * arch.encoder.head_size;
  std::vector<ExpectedTensor> tensors;
  tensors.push_back({"embed.tokens.weight", {arch.vocabulary, hidden}});
  tensors.push_back({"embed.positions.weight", {arch.embed.positions, hidden}});
  if (arch.embed.token_types > 0)
    tensors.push_back({"embed.types.weight", {arch.embed.token_types, hidden}});
  AddNorm(tensors, "embed.norm", hidden);
  for (int32_t i = 0; i < arch.encoder.layers; ++i) {
    const std::string layer = StrCat("encoder.", i, ".");
    AddDense(tensors, layer + "attention.q", attention, hidden);
    AddDense(tensors, layer + "attention.k", attention, hidden);
    AddDense(tensors, layer + "attention.v", attention, hidden);
    AddDense(tensors, layer + "attention.out", hidden, attention);
    AddNorm(tensors, layer + "attention.norm", hidden);
    AddDense(tensors, layer + "ffn.up", inner, hidden);
    AddDense(tensors, layer + "ffn.down", hidden, inner);
    AddNorm(tensors, layer + "ffn.norm", hidden);
  }
  return tensors;
}

std::vector<ExpectedTensor> PoolerTensors(const ArchSpec& arch) {
  std::vector<ExpectedTensor> tensors;
  AddDense(tensors, "pooler", arch.hidden, arch.hidden);
  return tensors;
}

absl::StatusOr<NamedWeights> NamedWeights::Open(const ArchSpec& arch, const Weights& weights,
                                                uint64_t bytes_max) {
  NamedWeights named(arch.names, weights);
  std::vector<ExpectedTensor> expected = RequiredTensors(arch);
  // A checkpoint of another task's model holds the encoder under a prefix. Without the first tensor
  // under any, the message names it without one.
  for (const std::string_view prefix : arch.prefixes) {
    if (weights.Has(StrCat(prefix, Translate(arch.names, expected[0].name)))) {
      named.prefix_ = prefix;
      break;
    }
  }
  const std::vector<ExpectedTensor> pooler = PoolerTensors(arch);
  named.has_pooler_ = weights.Has(named.CheckpointName(pooler[0].name)) &&
                      weights.Has(named.CheckpointName(pooler[1].name));
  if (named.has_pooler_) expected.insert(expected.end(), pooler.begin(), pooler.end());

  const uint64_t bytes = BytesAsFloat(expected);
  if (bytes > bytes_max) {
    return absl::InvalidArgumentError(StrCat(weights.file_names()[0], ": the weights take ", bytes,
                                             " bytes of memory; the limit is ", bytes_max));
  }
  std::set<std::string> used;
  for (const ExpectedTensor& tensor : expected) {
    std::string theirs = named.CheckpointName(tensor.name);
    RETURN_IF_ERROR(weights.Check(theirs, tensor.shape));
    used.insert(std::move(theirs));
  }
  uint64_t unused = 0;
  for (std::string& name : weights.Names()) {
    if (used.contains(name)) continue;
    const TensorEntry& entry = *weights.Find(name);
    unused += entry.end - entry.begin;
    named.leftovers_.push_back(std::move(name));
  }
  if (unused > kLeftoverBytesMax) {
    return absl::InvalidArgumentError(StrCat(weights.file_names()[0],
                                             ": tensors that nothing uses take ", unused,
                                             " bytes; the limit is ", kLeftoverBytesMax));
  }
  return named;
}

std::string NamedWeights::CheckpointName(std::string_view ours) const {
  std::string theirs = StrCat(prefix_, Translate(rules_, ours));
  if (weights_->Has(theirs)) return theirs;
  // Checkpoints converted from TensorFlow call a norm's weight gamma, and its bias beta.
  for (const auto& [ending, old] :
       {std::pair("LayerNorm.weight", "LayerNorm.gamma"), {"LayerNorm.bias", "LayerNorm.beta"}}) {
    if (!theirs.ends_with(ending)) continue;
    std::string older = theirs;
    Replace(older, ending, old);
    if (weights_->Has(older)) return older;
  }
  return theirs;
}

absl::Status NamedWeights::Read(std::string_view ours, std::span<const int64_t> shape,
                                std::span<float> out) const {
  return weights_->Read(CheckpointName(ours), shape, out);
}

}  // namespace attnd
