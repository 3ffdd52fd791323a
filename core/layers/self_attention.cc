#include "core/layers/self_attention.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/check.h"
#include "core/layers/attend.h"
#include "core/tensor/onednn.h"
#include "core/tensor/workspace.h"

namespace attnd {
namespace {

// The product of dense a [m, k] and b [k, n].
struct ProductShape {
  int64_t m = 0, k = 0, n = 0;
};
std::vector<float> Product(const ProductShape& shape, const std::vector<float>& a,
                           const std::vector<float>& b) {
  const auto dense = [](int64_t rows, int64_t columns) {
    return onednn::View3{.shape = {1, rows, columns}, .strides = {rows * columns, columns, 1}};
  };
  const auto& [m, k, n] = shape;
  const auto matmul = onednn::Matmul::Make(dense(m, k), dense(k, n), dense(m, n));
  CHECK_THAT(matmul.ok());  // oneDNN has f32 kernels for every shape.
  Workspace scratchpad(matmul->scratchpad_bytes() + 64);
  Workspace::Frame frame(scratchpad);
  std::vector<float> c(m * n);
  matmul->Run(a.data(), b.data(), c.data(), frame.TakeBytes(matmul->scratchpad_bytes()));
  return c;
}

// [rows, heads * size] -> [heads, rows, size].
struct HeadShape {
  int64_t rows = 0, heads = 0, size = 0;
};
std::vector<float> SplitHeads(const HeadShape& shape, const std::vector<float>& packed) {
  std::vector<float> split(packed.size());
  for (int64_t row = 0; row < shape.rows; ++row) {
    for (int64_t head = 0; head < shape.heads; ++head) {
      std::copy_n(packed.data() + (row * shape.heads + head) * shape.size, shape.size,
                  split.data() + (head * shape.rows + row) * shape.size);
    }
  }
  return split;
}

// The other way.
std::vector<float> MergeHeads(const HeadShape& shape, const std::vector<float>& split) {
  std::vector<float> packed(split.size());
  for (int64_t row = 0; row < shape.rows; ++row) {
    for (int64_t head = 0; head < shape.heads; ++head) {
      std::copy_n(split.data() + (head * shape.rows + row) * shape.size, shape.size,
                  packed.data() + (row * shape.heads + head) * shape.size);
    }
  }
  return packed;
}

}  // namespace

void AddSinusoidalPositions(int64_t count, int64_t size, std::vector<float>& rows) {
  CHECK_THAT(static_cast<int64_t>(rows.size()) == count * size);
  for (int64_t position = 0; position < count; ++position) {
    for (int64_t column = 0; column < size; ++column) {
      const double exponent = static_cast<double>(column - column % 2) / static_cast<double>(size);
      const double angle = static_cast<double>(position) / std::pow(10'000.0, exponent);
      rows[position * size + column] +=
          static_cast<float>(column % 2 == 0 ? std::sin(angle) : std::cos(angle));
    }
  }
}

void RunSelfAttention(SelfAttentionTask& task) {
  std::vector<float> positioned;
  if (task.sinusoidal_positions) {
    positioned = task.input;
    AddSinusoidalPositions(task.rows, task.input_size, positioned);
  }
  const std::vector<float>& input = task.sinusoidal_positions ? positioned : task.input;
  const HeadShape heads{task.rows, task.heads, task.inner_size / task.heads};
  const ProductShape project{task.rows, task.input_size, task.inner_size};

  AttendTask attend{
      .batch = 1,
      .query_heads = heads.heads,
      .key_heads = heads.heads,
      .query_length = heads.rows,
      .key_length = heads.rows,
      .key_size = heads.size,
      .value_size = heads.size,
      .query = SplitHeads(heads, Product(project, input, task.w_q)),
      .key = SplitHeads(heads, Product(project, input, task.w_k)),
      .value = SplitHeads(heads, Product(project, input, task.w_v)),
      .scale = static_cast<float>(1 / std::sqrt(static_cast<double>(heads.size))),
      .causal = task.causal,
      .return_weights = task.return_scores,
      .return_scores = task.return_scores,
  };
  RunAttend(attend);
  task.output = Product({task.rows, task.inner_size, task.output_size},
                        MergeHeads(heads, attend.output), task.w_o);
  task.scores = std::move(attend.scores);
  task.weights = std::move(attend.weights);
}

}  // namespace attnd
