#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/input/tokenizer.h"

namespace attnd {

// Places in a text in UTF-8, found as bytes and told in the unit asked for. The text must outlive
// this.
class TextOffsets {
 public:
  TextOffsets(std::string_view text, OffsetUnit unit);

  // `bytes` widened to whole code points: a byte-level token may hold a part of one.
  Tokenized::Offset Whole(Tokenized::Offset bytes) const;
  // The same place in the unit; the place is of whole code points.
  Tokenized::Offset InUnit(Tokenized::Offset bytes) const;
  std::string Text(Tokenized::Offset bytes) const;

 private:
  std::string_view text_;
  std::vector<int32_t> units_;  // [bytes + 1]: units before each byte; empty for bytes.
};

}  // namespace attnd
