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
  find core server client -name '*.cc' | sort |
    xargs -P "$jobs" -n 4 clang-tidy-14 -p $database --quiet 2>/dev/null
  say "clang-tidy: $(find core server client -name '*.cc' | wc -l) files clean"
}

check_format
[ "${1:-}" = --format-only ] || check_tidy
