#!/usr/bin/env bash
# Format and static analysis of our C++: clang-format on every file, clang-tidy on core/, server/ and client/.
#
#   scripts/lint.sh [--format-only]
#
# Needs a configured release build (for compile_commands.json) and `scripts/install-deps.sh lint`.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root_dir"

sources() { find core server client tests bench -name '*.cc' -o -name '*.h' | sort; }

check_format() {
  command -v clang-format-14 >/dev/null || fail "clang-format-14 is missing: scripts/install-deps.sh lint"
  sources | xargs clang-format-14 --dry-run --Werror
  say "clang-format: $(sources | wc -l) files clean"
}

check_tidy() {
  command -v clang-tidy-14 >/dev/null || fail "clang-tidy-14 is missing: scripts/install-deps.sh lint"
  local database=build/release
  [ -f $database/compile_commands.json ] || fail "$database is not configured: cmake --preset release"
  local units
  # What is compiled as one is checked as one: a header that many files include, once.
  units=$(python3 -c '
import glob, json, os, re, sys
files = (os.path.relpath(entry["file"]) for entry in json.load(open(sys.argv[1] + "/compile_commands.json")))
ours = [file for file in files if re.match(f"({sys.argv[1]}/)?(core|server|client)/", file)]
seen = {os.path.relpath(name) for file in ours for name in [file, *re.findall(r"^#include \"(/.*)\"", open(file).read(), re.M)]}
missing = [file for top in ("core", "server", "client") for file in glob.glob(top + "/**/*.cc", recursive=True)
           if file not in seen]
if missing: sys.exit(f"{missing[0]} is not in {sys.argv[1]}: build it first")
print(*sorted(ours, key=lambda file: "/Unity/" not in file), sep="\n")' $database)
  # It counts the warnings of headers that are not ours on standard error.
  xargs -P "$jobs" -n 1 clang-tidy-14 -p $database --quiet 2>build/clang-tidy.log <<<"$units" ||
    { grep -v 'warnings\? generated' build/clang-tidy.log >&2; fail "clang-tidy"; }
  say "clang-tidy: $(find core server client -name '*.cc' | wc -l) files clean"
}

check_format
[ "${1:-}" = --format-only ] || check_tidy
