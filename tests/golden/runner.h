#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace attnd::golden {

struct RunOptions {
  std::string directory;          // With cases/ and models/.
  std::vector<std::string> only;  // Names of case files; empty: all.
  // Where a model is looked for that the directory lacks: a model directory whose name, or whose
  // place in the cache, is the default model's.
  std::string default_model;
  int workers = 1;
};

struct Totals {
  int64_t passed = 0, failed = 0, skipped = 0;
};

// Runs the case files, writes a line for each failing case, for each skipped file with its reason,
// and for each file's totals. An error: the directory is none, or lacks a file that `only` names.
absl::StatusOr<Totals> RunGolden(const RunOptions& options, std::ostream& out);

}  // namespace attnd::golden
