#pragma once

#include <algorithm>
#include <memory>
#include <utility>

#include "core/layers/kernels.h"
#include "core/layers/linear.h"

namespace attnd {

// The position-wise half of a transformer layer: residual += down(activation(up(x))), or, gated,
// residual += down(activation(up(x)) * gate(x)) (Shazeer 2020, "GLU Variants Improve Transformer").
// In floats the activation rides on the first oneDNN call, the residual addition on the last, so no
// intermediate is read twice but the gate's.
class FeedForward {
 public:
  enum class Kind { kPlain, kGated };
  // Rows taken at a time, so that the wide intermediate stays in the cache.
  static constexpr int64_t kTileRows = kRowCounts.back();

  // `up` carries the activation as its epilogue, `down` adds to its output. `gate` may be null; a
  // pointer, because gcc 14 takes a moved std::optional of it for uninitialised.
  FeedForward(Linear up, std::unique_ptr<const Linear> gate, Linear down)
      : up_(std::move(up)), gate_(std::move(gate)), down_(std::move(down)) {}

  // x and residual are [rows, hidden], dense; they may be the same matrix, for a tile of x is read
  // before it is written.
  void Run(ConstMatrix x, Workspace& workspace, Matrix residual) const {
    Workspace::Frame frame(workspace);
    const int64_t rows_max = std::min(x.rows, kTileRows);
    const Matrix inner = frame.TakeMatrix(rows_max, up_.out());
    const Matrix gate = gate_ ? frame.TakeMatrix(rows_max, up_.out()) : Matrix{};
    for (int64_t row = 0; row < x.rows; row += kTileRows) {
      const int64_t rows = std::min(kTileRows, x.rows - row);
      const ConstMatrix from{x.row(row), rows, x.columns, x.stride};
      const Matrix tile{inner.data, rows, inner.columns, inner.stride};
      up_.Run(from, workspace, tile);
      if (gate_) {
        gate_->Run(from, workspace, {gate.data, rows, gate.columns, gate.stride});
        kernels::Multiply(gate.data, tile.data, rows * tile.columns);
      }
      down_.Run(tile, workspace, {residual.row(row), rows, residual.columns, residual.stride});
    }
  }

  // Of the workspace that Run takes, without the scratchpads of its layers.
  static size_t WorkspaceBytes(int64_t rows, int64_t inner, Kind kind) {
    const auto one = static_cast<size_t>(std::min(rows, kTileRows) * inner) * sizeof(float) + 64;
    return kind == Kind::kGated ? 2 * one : one;
  }

  size_t bytes() const { return up_.bytes() + (gate_ ? gate_->bytes() : 0) + down_.bytes(); }
  const Linear& up() const { return up_; }
  const Linear* gate() const { return gate_.get(); }  // Null if it is not gated.
  const Linear& down() const { return down_; }

 private:
  Linear up_;
  std::unique_ptr<const Linear> gate_;
  Linear down_;
};

}  // namespace attnd
