#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/base/check.h"

namespace attnd {

// Where sequences begin and end in a tall matrix that holds them end to end, with no padding
// anywhere:
//
//   rows         a0 a1 a2 | b0 | c0 c1
//   row_starts   0          3    4       6
//
// Dense layers see row_count() rows. Only attention and pooling need to know where one sequence
// ends and the next begins.
class PackedBatch {
 public:
  struct Rows {
    int32_t begin = 0, end = 0;
    int32_t count() const { return end - begin; }
  };

  void Clear() { row_starts_.resize(1); }
  // Appends a sequence of `rows` rows; at least 1, for validation refuses empty inputs.
  void Append(int32_t rows) {
    CHECK_THAT(rows > 0);
    row_starts_.push_back(row_starts_.back() + rows);
  }

  int32_t sequence_count() const { return static_cast<int32_t>(row_starts_.size()) - 1; }
  int32_t row_count() const { return row_starts_.back(); }
  Rows rows(int32_t sequence) const { return {row_starts_[sequence], row_starts_[sequence + 1]}; }
  // The sequence that the row is of; sequence_count() for a row past the last.
  int32_t Find(int32_t row) const {
    const auto after = std::upper_bound(row_starts_.begin(), row_starts_.end(), row);
    return static_cast<int32_t>(after - row_starts_.begin()) - 1;
  }

 private:
  std::vector<int32_t> row_starts_{0};
};

}  // namespace attnd
