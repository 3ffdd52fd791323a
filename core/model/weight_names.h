#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/model/arch.h"
#include "core/tensor/weights.h"

namespace attnd {

// A tensor that an architecture has, by our name.
struct ExpectedTensor {
  std::string name;  // "encoder.3.attention.q.weight"
  std::vector<int64_t> shape;
};

// The tensors that `arch` cannot run without, or may have (the pooler), in a fixed order. Sizes
// come from the config, so they say what may be allocated before a weight file is believed.
std::vector<ExpectedTensor> RequiredTensors(const ArchSpec& arch);
std::vector<ExpectedTensor> PoolerTensors(const ArchSpec& arch);

// Bytes of tensors that nothing uses, other tasks' heads, in a checkpoint. They are read for the
// digest, and a sparse file has as many as its author likes.
inline constexpr uint64_t kLeftoverBytesMax = 1u << 30;

// A checkpoint's tensors under our names: `embed.tokens.weight`, `embed.positions.weight`,
// `embed.types.weight`, `embed.norm.*`, `encoder.{i}.attention.{q,k,v,out,norm}.*`,
// `encoder.{i}.ffn.{up,down,norm}.*`, `pooler.*`, where `*` is `weight` or `bias`. Const after
// Open; `weights` must outlive it.
class NamedWeights {
 public:
  // Finds the prefix that the checkpoint puts before its family's names, then checks every expected
  // tensor's presence, shape and type, and that all of them in f32 take at most `bytes_max`. Reads
  // no data.
  static absl::StatusOr<NamedWeights> Open(const ArchSpec& arch, const Weights& weights,
                                           uint64_t bytes_max);

  // True if the checkpoint has both tensors of the pooler.
  bool has_pooler() const { return has_pooler_; }
  // The checkpoint's name for ours. A name that the family does not have is our bug.
  std::string CheckpointName(std::string_view ours) const;
  // As Weights::Read.
  absl::Status Read(std::string_view ours, std::span<const int64_t> shape,
                    std::span<float> out) const;
  // The checkpoint's tensors that nothing above reads: buffers, heads of other tasks. Sorted.
  const std::vector<std::string>& leftovers() const { return leftovers_; }

 private:
  NamedWeights(std::span<const NameRule> rules, const Weights& weights)
      : rules_(rules), weights_(&weights) {}

  std::span<const NameRule> rules_;
  const Weights* weights_;
  std::string_view prefix_;
  bool has_pooler_ = false;
  std::vector<std::string> leftovers_;
};

}  // namespace attnd
