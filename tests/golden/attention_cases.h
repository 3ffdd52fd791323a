#pragma once

#include "tests/golden/backend.h"
#include "tests/golden/case_file.h"

namespace attnd::golden {

// One case of the attention operator. The mask is given as it stands in the file, and then again,
// where the case names a rule (causal, window, lengths), as that rule.
CaseResult RunAttentionCase(const CaseFile& file, const Json& item, Backend& backend);

}  // namespace attnd::golden
