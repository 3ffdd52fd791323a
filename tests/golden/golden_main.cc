// golden DIR [--only NAME]... [--workers N]: compares this engine with the reference, case by case.
// DIR has the layout of the golden folder: cases/*.json, cases/*.safetensors, models/. The exit
// status is 0 if no case failed, 1 if one did or a file named by --only was skipped, 2 if there was
// nothing to run.
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "core/base/strings.h"
#include "tests/golden/runner.h"

namespace {

constexpr char kUsage[] =
    "usage: golden DIR [--only NAME]... [--workers N]\n"
    "  DIR          a folder with cases/ and models/\n"
    "  --only NAME  this case file alone; may be repeated\n"
    "  --workers N  engine workers, 1 to 64 (default 1)\n"
    "A model that DIR lacks is the default model: $ATTND_MODEL, else all-MiniLM-L6-v2 in "
    "$ATTND_CACHE\n"
    "or the user's cache folder.\n";

std::string Environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): before any thread.
  return value == nullptr ? "" : value;
}

std::string DefaultModel() {
  if (const std::string model = Environment("ATTND_MODEL"); !model.empty()) return model;
  std::string cache = Environment("ATTND_CACHE");
  if (cache.empty()) {
    const std::string base = Environment("XDG_CACHE_HOME");
    cache = attnd::StrCat(base.empty() ? attnd::StrCat(Environment("HOME"), "/.cache") : base,
                          "/attnd");
  }
  return attnd::StrCat(cache, "/all-MiniLM-L6-v2");
}

// False: the arguments are wrong.
bool ParseArguments(const std::vector<std::string>& arguments, attnd::golden::RunOptions& options) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    const bool has_value = i + 1 < arguments.size();
    if (arguments[i] == "--only" && has_value) {
      options.only.push_back(arguments[++i]);
    } else if (arguments[i] == "--workers" && has_value) {
      if (!absl::SimpleAtoi(arguments[++i], &options.workers)) return false;
      if (options.workers < 1 || options.workers > 64) return false;
    } else if (!arguments[i].starts_with("-") && options.directory.empty()) {
      options.directory = arguments[i];
    } else {
      return false;
    }
  }
  return !options.directory.empty();
}

}  // namespace

int main(int count, char** values) {
  attnd::golden::RunOptions options{.default_model = DefaultModel()};
  if (!ParseArguments({values + 1, values + count}, options)) {
    std::cerr << kUsage;
    return 2;
  }
  const auto totals = attnd::golden::RunGolden(options, std::cout);
  if (!totals.ok()) {
    std::cerr << "golden: " << totals.status().message() << "\n";
    return 2;
  }
  std::cout << totals->passed << " passed, " << totals->failed << " failed, " << totals->skipped
            << " skipped" << std::endl;
  if (totals->passed + totals->failed == 0) return 2;
  const bool missed = !options.only.empty() && totals->skipped > 0;
  return totals->failed == 0 && !missed ? 0 : 1;
}
