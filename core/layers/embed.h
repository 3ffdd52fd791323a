#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include "core/layers/norm.h"
#include "core/tensor/aligned_buffer.h"
#include "core/tensor/matrix.h"

namespace attnd {

// How a sequence enters the stack: norm(token + position + type), a row a token. Immutable.
// Devlin et al. 2019, "BERT", section 3, figure 2.
class Embed {
 public:
  struct Tables {
    AlignedBuffer tokens;     // [vocabulary, hidden]
    AlignedBuffer positions;  // [positions, hidden]
    AlignedBuffer types;      // [types, hidden]
  };
  Embed(Tables tables, int32_t hidden, int32_t position_offset, Norm norm)
      : tables_(std::move(tables)),
        hidden_(hidden),
        position_offset_(position_offset),
        norm_(std::move(norm)) {}

  // Ids and types lie within the tables, and so does the length; `types` may be empty, for all
  // zero. `x` is [ids.size(), hidden].
  void Run(std::span<const int32_t> ids, std::span<const int32_t> types, Matrix x) const;
  // The same with the caller's rows [x.rows, hidden] in place of the token table's.
  void Run(std::span<const float> rows, std::span<const int32_t> types, Matrix x) const;

  size_t bytes() const {
    return tables_.tokens.bytes() + tables_.positions.bytes() + tables_.types.bytes();
  }

 private:
  void RunRow(const float* token, int64_t position, int32_t type, float* x) const;

  Tables tables_;
  int32_t hidden_;
  int32_t position_offset_;
  Norm norm_;
};

}  // namespace attnd
