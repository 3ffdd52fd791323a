#pragma once

#include "core/input/tokenizer.h"
#include "tests/golden/case_file.h"

namespace attnd::golden {

// A case of a fuzz file: ids, offsets, and both ways to decode.
CaseResult RunFuzzCase(const Json& item, const Tokenizer& tokenizer);

// Bytes that are no UTF-8 pass when they are refused as that.
CaseResult RunInvalidUtf8Case(const Json& item, const Tokenizer& tokenizer);

// Encodes the case's text (and pair) and compares whatever of ids, types, offsets and tokens the
// case has.
Tokenized CheckTokens(const Json& item, const Tokenizer& tokenizer, const TokenizeOptions& options,
                      CaseResult& result);

// Compares the ids that a pair keeps at each length limit and by each strategy that the case has.
// Null: the text that is to be cut is too short for it, which is refused.
void CheckPairTruncation(const Json& item, const Tokenizer& tokenizer, CaseResult& result);

}  // namespace attnd::golden
