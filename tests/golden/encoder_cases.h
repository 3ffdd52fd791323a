#pragma once

#include "tests/golden/backend.h"
#include "tests/golden/case_file.h"

namespace attnd::golden {

// True for the kinds that RunEncoderCase knows.
bool IsEncoderKind(std::string_view kind);

// One case of an encoder: tokens where it has a text, then every tensor that it has.
CaseResult RunEncoderCase(const CaseFile& file, const Json& item, Backend& backend);

}  // namespace attnd::golden
