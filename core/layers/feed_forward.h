#pragma once

#include <algorithm>
#include <utility>

#include "core/layers/linear.h"

namespace attnd {

// The position-wise half of a transformer layer: residual += down(activation(up(x))). Two oneDNN
// calls a tile: the activation rides on the first, the residual addition on the second, so no
// intermediate is read twice.
class FeedForward {
 public:
  // Rows taken at a time, so that the wide intermediate stays in the cache.
  static constexpr int64_t kTileRows = kRowCounts.back();

  // `up` carries the activation as its epilogue, `down` adds to its output.
  FeedForward(Linear up, Linear down) : up_(std::move(up)), down_(std::move(down)) {}

  // x and residual are [rows, hidden], dense; they may be the same matrix, for a tile of x is read
  // before it is written.
  void Run(ConstMatrix x, Workspace& workspace, Matrix residual) const {
    Workspace::Frame frame(workspace);
    const Matrix inner = frame.TakeMatrix(std::min(x.rows, kTileRows), up_.out());
    for (int64_t row = 0; row < x.rows; row += kTileRows) {
      const int64_t rows = std::min(kTileRows, x.rows - row);
      const Matrix tile{inner.data, rows, inner.columns, inner.stride};
      up_.Run({x.row(row), rows, x.columns, x.stride}, workspace, tile);
      down_.Run(tile, workspace, {residual.row(row), rows, residual.columns, residual.stride});
    }
  }

  size_t bytes() const { return up_.bytes() + down_.bytes(); }
  const Linear& up() const { return up_; }
  const Linear& down() const { return down_; }

 private:
  Linear up_, down_;
};

}  // namespace attnd
