#include "core/layers/embed.h"

#include <algorithm>

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
  int64_t placed = 0;
  for (int64_t row = 0; row < x.rows; ++row) {
    const bool unplaced = ids[row] == spec_.unplaced_token;
    const int64_t position = spec_.position_offset + (unplaced ? -1 : placed);
    RunRow(tokens().data() + int64_t{ids[row]} * spec_.hidden, position, TypeAt(types, row),
           x.row(row));
    placed += unplaced ? 0 : 1;
  }
  if (norm_) norm_->Run(x);
}

void Embed::Run(std::span<const float> rows, std::span<const int32_t> types, Matrix x) const {
  CHECK_THAT(static_cast<int64_t>(rows.size()) == x.rows * spec_.hidden);
  for (int64_t row = 0; row < x.rows; ++row) {
    RunRow(rows.data() + row * spec_.hidden, row + spec_.position_offset, TypeAt(types, row),
           x.row(row));
  }
  if (norm_) norm_->Run(x);
}

void Embed::RunRow(const float* token, int64_t position, int32_t type, float* x) const {
  const int64_t hidden = spec_.hidden;
  const auto row = [hidden](const AlignedBuffer& table, int64_t index) -> const float* {
    return table.bytes() > 0 ? table.floats().data() + index * hidden : nullptr;
  };
  const float* positions = row(tables_.positions, position);
  const float* types = row(tables_.types, type);
  if (positions != nullptr && types != nullptr) {
    kernels::Sum3(token, positions, types, x, hidden);
  } else if (positions != nullptr || types != nullptr) {
    kernels::Sum2(token, positions != nullptr ? positions : types, x, hidden);
  } else {
    std::copy_n(token, hidden, x);
  }
}

}  // namespace attnd
