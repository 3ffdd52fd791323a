#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/layers/linear.h"
#include "core/layers/norm.h"
#include "core/tensor/matrix.h"
#include "core/tensor/workspace.h"

namespace attnd {

// Scores out of contextualized rows: out(norm(dense(x))), where `dense` (with its activation) and
// `norm` may be missing. `out` is cut into slabs of outputs, so that a vocabulary's weights need
// one kernel and its scores stay in the cache. Immutable. A row's scores depend on that row alone,
// bit for bit.
class Head {
 public:
  // Rows taken at a time.
  static constexpr int64_t kTileRows = 64;
  // Outputs of a slab: all, rounded up to a multiple that every kernel takes, up to this many.
  static constexpr int64_t kSlabOutputsMax = 2048;
  static int64_t SlabOutputs(int64_t outputs);

  struct Layers {
    std::optional<Linear> dense;
    std::optional<Norm> norm;
    std::vector<Linear> slabs;  // Each SlabOutputs(outputs) wide; the last is filled with zeros.
  };
  Head(Layers layers, int64_t outputs) : layers_(std::move(layers)), outputs_(outputs) {}

  int64_t outputs() const { return outputs_; }
  const Linear* dense() const { return layers_.dense ? &*layers_.dense : nullptr; }
  const Linear& slab() const { return layers_.slabs.front(); }  // They share their kernels.
  // logits [rows.size(), outputs]: scores of those rows of x.
  void Run(ConstMatrix x, std::span<const int32_t> rows, Workspace& workspace, float* logits) const;
  // largest [outputs]: the largest score of each output over all rows of x.
  void RunMax(ConstMatrix x, Workspace& workspace, float* largest) const;

  // Of the workspace that both take, without the scratchpads of its layers.
  static size_t WorkspaceBytes(int64_t hidden, int64_t outputs);
  size_t bytes() const;

 private:
  // Calls `use` with the scores of each slab of each tile: [rows, slab] of rows from `first_row` on
  // and outputs from `first_output` on, of which `outputs` are real.
  template <typename Use>
  void ForEachSlab(ConstMatrix x, std::span<const int32_t> rows, Workspace& workspace,
                   Use use) const;

  Layers layers_;
  int64_t outputs_;
};

}  // namespace attnd
