#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "core/layers/norm.h"
#include "core/tensor/aligned_buffer.h"
#include "core/tensor/matrix.h"

namespace attnd {

// How a sequence enters the stack: norm(token + position + type), a row a token, where all but the
// token may be missing. Immutable. Devlin et al. 2019, "BERT", section 3, figure 2.
class Embed {
 public:
  struct Tables {
    AlignedBuffer tokens;     // [vocabulary, hidden]
    AlignedBuffer positions;  // [positions, hidden], or empty.
    AlignedBuffer types;      // [types, hidden], or empty.
  };
  struct Spec {
    int32_t hidden = 0;
    int32_t position_offset = 0;
    int32_t unplaced_token = -1;  // Stands at position_offset - 1, and is not counted; -1: none.
  };
  Embed(Tables tables, const Spec& spec, std::optional<Norm> norm)
      : tables_(std::move(tables)), spec_(spec), norm_(std::move(norm)) {}

  // Ids and types lie within the tables, and so does the length; `types` may be empty, for all
  // zero. `x` is [ids.size(), hidden].
  void Run(std::span<const int32_t> ids, std::span<const int32_t> types, Matrix x) const;
  // The same with the caller's rows [x.rows, hidden] in place of the token table's.
  void Run(std::span<const float> rows, std::span<const int32_t> types, Matrix x) const;

  // [vocabulary, hidden]
  std::span<const float> tokens() const { return tables_.tokens.floats(); }
  size_t bytes() const {
    return tables_.tokens.bytes() + tables_.positions.bytes() + tables_.types.bytes();
  }

 private:
  void RunRow(const float* token, int64_t position, int32_t type, float* x) const;

  Tables tables_;
  Spec spec_;
  std::optional<Norm> norm_;
};

}  // namespace attnd
