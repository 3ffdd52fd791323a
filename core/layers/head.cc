#include "core/layers/head.h"

#include <algorithm>
#include <numeric>

#include "core/layers/kernels.h"

namespace attnd {
namespace {

// The widest vector of f32: blocked layouts hold outputs in these.
constexpr int64_t kOutputStep = 16;

}  // namespace

int64_t Head::SlabOutputs(int64_t outputs) {
  return std::min((outputs + kOutputStep - 1) / kOutputStep * kOutputStep, kSlabOutputsMax);
}

template <typename Use>
void Head::ForEachSlab(ConstMatrix x, std::span<const int32_t> rows, Workspace& workspace,
                       Use use) const {
  const auto count = static_cast<int64_t>(rows.size());
  for (int64_t first = 0; first < count; first += kTileRows) {
    const int64_t taken = std::min(kTileRows, count - first);
    Workspace::Frame frame(workspace);
    Matrix tile = frame.TakeMatrix(RoundUpRows(taken), x.columns);
    for (int64_t i = 0; i < taken; ++i) {
      std::copy_n(x.row(rows[first + i]), x.columns, tile.row(i));
    }
    std::fill(tile.row(taken), tile.data + tile.rows * tile.stride, 0.0f);
    if (layers_.dense) {
      const Matrix dense = frame.TakeMatrix(tile.rows, tile.columns);
      layers_.dense->Run(tile, workspace, dense);
      tile = dense;
    }
    if (layers_.norm) layers_.norm->Run(tile);
    const Matrix scores = frame.TakeMatrix(tile.rows, layers_.slabs.front().out());
    int64_t output = 0;
    for (const Linear& slab : layers_.slabs) {
      slab.Run(tile, workspace, scores);
      const int64_t real = std::min(slab.out(), outputs_ - output);
      use(ConstMatrix{scores.data, taken, real, scores.stride}, first, output);
      output += slab.out();
    }
  }
}

void Head::Run(ConstMatrix x, std::span<const int32_t> rows, Workspace& workspace,
               float* logits) const {
  ForEachSlab(x, rows, workspace, [&](ConstMatrix scores, int64_t first_row, int64_t first_output) {
    for (int64_t i = 0; i < scores.rows; ++i) {
      std::copy_n(scores.row(i), scores.columns,
                  logits + (first_row + i) * outputs_ + first_output);
    }
  });
}

void Head::RunMax(ConstMatrix x, Workspace& workspace, float* largest) const {
  Workspace::Frame frame(workspace);
  auto* all =
      static_cast<int32_t*>(frame.TakeBytes(static_cast<size_t>(kTileRows) * sizeof(int32_t)));
  for (int64_t begin = 0; begin < x.rows; begin += kTileRows) {
    const int64_t count = std::min(kTileRows, x.rows - begin);
    std::iota(all, all + count, static_cast<int32_t>(begin));
    ForEachSlab(x, {all, static_cast<size_t>(count)}, workspace,
                [&](ConstMatrix scores, int64_t, int64_t first_output) {
                  float* out = largest + first_output;
                  int64_t i = 0;
                  if (begin == 0) std::copy_n(scores.row(i++), scores.columns, out);
                  for (; i < scores.rows; ++i) kernels::Max(scores.row(i), out, scores.columns);
                });
  }
}

size_t Head::WorkspaceBytes(int64_t hidden, int64_t outputs) {
  return static_cast<size_t>(kTileRows * (2 * hidden + SlabOutputs(outputs) + 1)) * sizeof(float) +
         4 * 64;
}

size_t Head::bytes() const {
  size_t bytes = layers_.dense ? layers_.dense->bytes() : 0;
  for (const Linear& slab : layers_.slabs) bytes += slab.bytes();
  return bytes;
}

}  // namespace attnd
