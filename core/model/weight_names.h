#pragma once

#include <array>
#include <cstdint>
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

// The tensors that `arch` cannot run without, in a fixed order. Sizes come from the config, so they
// say what may be allocated before a weight file is believed.
std::vector<ExpectedTensor> RequiredTensors(const ArchSpec& arch);
// Those of its pooler, and of its head, which a checkpoint may lack. Empty if the architecture has
// no such part.
std::vector<ExpectedTensor> PoolerTensors(const ArchSpec& arch);
std::vector<ExpectedTensor> HeadTensors(const ArchSpec& arch);

// Bytes of tensors that nothing uses, other tasks' heads, in a checkpoint: so many, or so many
// times what is used. They are read for the digest, and a sparse file has as many as its author
// likes.
inline constexpr uint64_t kLeftoverBytesMax = 1u << 30;
inline constexpr uint64_t kLeftoverTimesMax = 4;

// A checkpoint's tensors under our names: `embed.{tokens,positions,types}.weight`, `embed.norm.*`,
// `encoder.{i}.attention.{q,k,v,out,norm}.*`, `encoder.{i}.ffn.{up,gate,down,norm}.*`,
// `encoder.norm.*`, `encoder.relative_bias.weight`, `pooler.*`, `head.{dense,norm,out}.*`,
// `projection.weight`, where `*` is `weight` or `bias`. Const after Open; `weights` must outlive
// it.
class NamedWeights {
 public:
  // Finds the prefix that the checkpoint puts before its family's names, then checks every expected
  // tensor's presence, shape and type, and that all of them in f32, with
  // what is made of the config, take at most `bytes_max`. Reads
  // no data. A head without its output layer is none, and so is a pooler without one of its
  // tensors; a head that lacks another tensor is an error.
  static absl::StatusOr<NamedWeights> Open(const ArchSpec& arch, const Weights& weights,
                                           uint64_t bytes_max);

  bool has_pooler() const { return has_pooler_; }
  bool has_head() const { return has_head_; }
  // Width of the projection; 0 if there is none.
  int32_t projection() const { return projection_; }
  // The checkpoint's name for ours. A name that the family does not have is our bug.
  std::string CheckpointName(std::string_view ours) const;
  // As Weights::Read.
  absl::Status Read(std::string_view ours, std::span<const int64_t> shape,
                    std::span<float> out) const;
  // The checkpoint's tensors that nothing above reads: buffers, heads of other tasks. Sorted.
  const std::vector<std::string>& leftovers() const { return leftovers_; }

 private:
  // Where a tensor of ours is in the checkpoint.
  struct Source {
    std::string name;
    int32_t part = 0, parts = 1;
  };
  NamedWeights(const ArchSpec& arch, const Weights& weights)
      : rules_{arch.names, arch.head_names}, weights_(&weights) {}
  Source Find(std::string_view ours) const;
  // How many of them the checkpoint has.
  size_t CountOf(std::span<const ExpectedTensor> tensors) const;
  int32_t ProjectionOf(const ArchSpec& arch) const;
  absl::Status CheckAll(std::span<const ExpectedTensor> expected);

  std::array<std::span<const NameRule>, 2> rules_;
  const Weights* weights_;
  std::string_view prefix_;
  bool has_pooler_ = false;
  bool has_head_ = false;
  int32_t projection_ = 0;
  std::vector<std::string> leftovers_;
};

}  // namespace attnd
