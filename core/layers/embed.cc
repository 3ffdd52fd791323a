#include "core/layers/embed.h"

#include "core/base/check.h"
#include "core/layers/kernels.h"

namespace attnd {
namespace {

int32_t TypeAt(std::span<const int32_t> types, int64_t row) {
  return types.empty() ? 0 : types[row];
}

}  // namespace

void Embed::Run(std::span<const int32_t> ids, std::span<const int32_t> types, Matrix x) const {
  CHECK_THAT(static_cast<int64_t>(ids.size()) == x.rows);
  const float* tokens = tables_.tokens.floats().data();
  for (int64_t row = 0; row < x.rows; ++row) {
    RunRow(tokens + int64_t{ids[row]} * hidden_, row, TypeAt(types, row), x.row(row));
  }
  norm_.Run(x);
}

void Embed::Run(std::span<const float> rows, std::span<const int32_t> types, Matrix x) const {
  CHECK_THAT(static_cast<int64_t>(rows.size()) == x.rows * hidden_);
  for (int64_t row = 0; row < x.rows; ++row) {
    RunRow(rows.data() + row * hidden_, row, TypeAt(types, row), x.row(row));
  }
  norm_.Run(x);
}

void Embed::RunRow(const float* token, int64_t position, int32_t type, float* x) const {
  const float* positions = tables_.positions.floats().data();
  const float* types = tables_.types.floats().data();
  kernels::Sum3(token, positions + (position + position_offset_) * hidden_,
                types + int64_t{type} * hidden_, x, hidden_);
}

}  // namespace attnd
