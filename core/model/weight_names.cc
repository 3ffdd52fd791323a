#include "core/model/weight_names.h"

#include <algorithm>
#include <iterator>
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

// Their name, without a prefix, if the rule is about ours.
std::optional<std::string> Translate(const NameRule& rule, std::string_view ours) {
  const std::optional<Match> match = MatchRule(rule.ours, ours);
  if (!match) return std::nullopt;
  std::string theirs(rule.theirs);
  Replace(theirs, "{i}", match->layer);
  Replace(theirs, "*", match->ending);
  return theirs;
}

std::string WithPrefix(std::string_view prefix, std::string_view name) {
  return name.starts_with('/') ? std::string(name.substr(1)) : StrCat(prefix, name);
}

// Checkpoints converted from TensorFlow call a norm's weight gamma, and its bias beta.
std::string OldName(std::string name) {
  for (const auto& [ending, old] :
       {std::pair("LayerNorm.weight", "LayerNorm.gamma"), {"LayerNorm.bias", "LayerNorm.beta"}}) {
    if (name.ends_with(ending)) Replace(name, ending, old);
  }
  return name;
}

void AddDense(std::vector<ExpectedTensor>& tensors, const std::string& name, int64_t out,
              int64_t in, Bias bias) {
  tensors.push_back({StrCat(name, ".weight"), {out, in}});
  if (bias == Bias::kYes) tensors.push_back({StrCat(name, ".bias"), {out}});
}

void AddNorm(std::vector<ExpectedTensor>& tensors, const std::string& name, int64_t size,
             Bias bias) {
  tensors.push_back({StrCat(name, ".weight"), {size}});
  if (bias == Bias::kYes) tensors.push_back({StrCat(name, ".bias"), {size}});
}

void AddLayer(std::vector<ExpectedTensor>& tensors, const ArchSpec& arch, int32_t index) {
  const StackSpec& stack = arch.encoder;
  const int64_t hidden = arch.hidden, inner = stack.inner, width = stack.width();
  const std::string layer = StrCat("encoder.", index, ".");
  for (const char* part : {"q", "k", "v"}) {
    AddDense(tensors, StrCat(layer, "attention.", part), width, hidden, stack.attention_bias);
  }
  AddDense(tensors, layer + "attention.out", hidden, width, stack.attention_bias);
  if (index > 0 || stack.first_norm) {
    AddNorm(tensors, layer + "attention.norm", hidden, stack.norm_bias);
  }
  AddDense(tensors, layer + "ffn.up", inner, hidden, stack.ffn_bias);
  if (stack.gated) AddDense(tensors, layer + "ffn.gate", inner, hidden, stack.ffn_bias);
  AddDense(tensors, layer + "ffn.down", hidden, inner, stack.ffn_bias);
  AddNorm(tensors, layer + "ffn.norm", hidden, stack.norm_bias);
}

void MoveTo(std::vector<ExpectedTensor>& all, std::vector<ExpectedTensor> tensors) {
  std::move(tensors.begin(), tensors.end(), std::back_inserter(all));
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

// What is made at load from the config alone, and what one worker needs for the longest sequence:
// no tensor's size vouches for these.
uint64_t TableBytes(const ArchSpec& arch) {
  const StackSpec& stack = arch.encoder;
  const auto length = static_cast<uint64_t>(arch.length_max);
  const auto heads = static_cast<uint64_t>(stack.heads),
             width = static_cast<uint64_t>(stack.width());
  uint64_t floats = length * (2 * static_cast<uint64_t>(arch.hidden) + 4 * width);
  if (stack.relative.buckets > 0) floats += 2 * length * heads;
  for (const float theta : {stack.theta, stack.local_theta}) {
    if (theta > 0) floats += length * static_cast<uint64_t>(stack.head_size);
  }
  return floats * sizeof(float);
}

}  // namespace

std::vector<ExpectedTensor> RequiredTensors(const ArchSpec& arch) {
  const int64_t hidden = arch.hidden;
  const StackSpec& stack = arch.encoder;
  std::vector<ExpectedTensor> tensors;
  tensors.push_back({"embed.tokens.weight", {arch.vocabulary, hidden}});
  if (arch.embed.positions > 0)
    tensors.push_back({"embed.positions.weight", {arch.embed.positions, hidden}});
  if (arch.embed.token_types > 0)
    tensors.push_back({"embed.types.weight", {arch.embed.token_types, hidden}});
  if (arch.embed.norm) AddNorm(tensors, "embed.norm", hidden, stack.norm_bias);
  if (stack.relative.buckets > 0)
    tensors.push_back({"encoder.relative_bias.weight", {stack.relative.buckets, stack.heads}});
  for (int32_t i = 0; i < stack.layers; ++i) AddLayer(tensors, arch, i);
  if (stack.final_norm) AddNorm(tensors, "encoder.norm", hidden, stack.norm_bias);
  return tensors;
}

std::vector<ExpectedTensor> PoolerTensors(const ArchSpec& arch) {
  std::vector<ExpectedTensor> tensors;
  if (arch.pooler) AddDense(tensors, "pooler", arch.hidden, arch.hidden, Bias::kYes);
  return tensors;
}

std::vector<ExpectedTensor> HeadTensors(const ArchSpec& arch) {
  const HeadSpec& head = arch.head;
  std::vector<ExpectedTensor> tensors;
  if (head.kind == HeadKind::kNone) return tensors;
  if (!head.tied) tensors.push_back({"head.out.weight", {head.outputs, arch.hidden}});
  if (head.out_bias == Bias::kYes) tensors.push_back({"head.out.bias", {head.outputs}});
  if (head.dense) AddDense(tensors, "head.dense", arch.hidden, arch.hidden, head.dense_bias);
  if (head.norm) AddNorm(tensors, "head.norm", arch.hidden, head.norm_bias);
  return tensors;
}

absl::StatusOr<NamedWeights> NamedWeights::Open(const ArchSpec& arch, const Weights& weights,
                                                uint64_t bytes_max) {
  NamedWeights named(arch, weights);
  std::vector<ExpectedTensor> expected = RequiredTensors(arch);
  // A checkpoint of another task's model holds the encoder under a prefix. Without the first tensor
  // under any, the message names it without one.
  for (const std::string_view prefix : arch.prefixes) {
    named.prefix_ = prefix;
    if (named.CountOf({expected.data(), 1}) == 1) break;
    named.prefix_ = {};
  }
  // Half a pooler is none: what is there is a leftover.
  std::vector<ExpectedTensor> pooler = PoolerTensors(arch);
  named.has_pooler_ = !pooler.empty() && named.CountOf(pooler) == pooler.size();
  if (named.has_pooler_) MoveTo(expected, std::move(pooler));
  // The first tensor of a head is its own, and says that there is one; its dense layer may be the
  // pooler's.
  std::vector<ExpectedTensor> head = HeadTensors(arch);
  named.has_head_ = !head.empty() && named.CountOf({head.data(), 1}) == 1;
  if (named.has_head_) MoveTo(expected, std::move(head));
  named.projection_ = named.ProjectionOf(arch);
  if (named.projection_ > 0)
    expected.push_back({"projection.weight", {named.projection_, arch.hidden}});
  uint64_t bytes = BytesAsFloat(expected) + TableBytes(arch);
  // A tied head has a packed copy of the token table.
  if (named.has_head_ && arch.head.tied)
    bytes += BytesAsFloat({expected.begin(), expected.begin() + 1});
  if (bytes > bytes_max) {
    return absl::InvalidArgumentError(StrCat(weights.file_names()[0], ": the model takes ", bytes,
                                             " bytes of memory; the limit is ", bytes_max));
  }
  RETURN_IF_ERROR(named.CheckAll(expected));
  return named;
}

// A linear layer to fewer dimensions without a bias; any other tensor of that name is somebody
// else's.
int32_t NamedWeights::ProjectionOf(const ArchSpec& arch) const {
  if (!arch.projection) return 0;
  const std::string name = CheckpointName("projection.weight");
  const TensorEntry* entry = weights_->Find(name);
  std::string bias = name;
  Replace(bias, ".weight", ".bias");
  if (entry == nullptr || weights_->Has(bias)) return 0;
  const std::vector<int64_t>& shape = entry->shape;
  const bool fits =
      shape.size() == 2 && shape[1] == arch.hidden && shape[0] >= 1 && shape[0] <= arch.hidden;
  return fits ? static_cast<int32_t>(shape[0]) : 0;
}

size_t NamedWeights::CountOf(std::span<const ExpectedTensor> tensors) const {
  const auto has = [this](const ExpectedTensor& tensor) {
    return weights_->Has(CheckpointName(tensor.name));
  };
  return static_cast<size_t>(std::count_if(tensors.begin(), tensors.end(), has));
}

absl::Status NamedWeights::CheckAll(std::span<const ExpectedTensor> expected) {
  std::set<std::string> used;
  for (const ExpectedTensor& tensor : expected) {
    Source source = Find(tensor.name);
    std::vector<int64_t> shape = tensor.shape;
    shape[0] *= source.parts;
    RETURN_IF_ERROR(weights_->Check(source.name, shape));
    used.insert(std::move(source.name));
  }
  // Several times what is used is still another task's model: T5's decoder is larger than its
  // encoder.
  const uint64_t unused_max = std::max(
      kLeftoverBytesMax, kLeftoverTimesMax * BytesAsFloat({expected.begin(), expected.end()}));
  uint64_t unused = 0;
  for (std::string& name : weights_->Names()) {
    if (used.contains(name)) continue;
    const TensorEntry& entry = *weights_->Find(name);
    unused += entry.end - entry.begin;
    leftovers_.push_back(std::move(name));
  }
  if (unused <= unused_max) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat(weights_->file_names()[0],
                                           ": tensors that nothing uses take ", unused,
                                           " bytes; the limit is ", unused_max));
}

NamedWeights::Source NamedWeights::Find(std::string_view ours) const {
  std::optional<Source> first;
  for (const std::span<const NameRule> rules : rules_) {
    for (const NameRule& rule : rules) {
      const std::optional<std::string> theirs = Translate(rule, ours);
      if (!theirs) continue;
      const std::string name = WithPrefix(prefix_, *theirs);
      for (const std::string& candidate : {name, OldName(name)}) {
        if (weights_->Has(candidate)) return {candidate, rule.part, rule.parts};
      }
      if (!first) first = Source{name, rule.part, rule.parts};
    }
  }
  CHECK_THAT(first.has_value() && "a name that the family's tables lack");
  return *first;
}

std::string NamedWeights::CheckpointName(std::string_view ours) const { return Find(ours).name; }

absl::Status NamedWeights::Read(std::string_view ours, std::span<const int64_t> shape,
                                std::span<float> out) const {
  const Source source = Find(ours);
  if (source.parts == 1) return weights_->Read(source.name, shape, out);
  std::vector<int64_t> whole(shape.begin(), shape.end());
  whole[0] *= source.parts;
  std::vector<float> values(out.size() * static_cast<size_t>(source.parts));
  RETURN_IF_ERROR(weights_->Read(source.name, whole, values));
  std::copy_n(values.begin() + static_cast<int64_t>(out.size()) * source.part, out.size(),
              out.begin());
  return absl::OkStatus();
}

}  // namespace attnd
