#!/usr/bin/env bash
# Installs what the tests need, builds everything, and runs the unit, server and golden tests.
#
#   scripts/test.sh
#
# A missing prerequisite is a failure, never a skip; what this tier leaves out is printed at the end.
# ATTND_GOLDEN_DIR: the golden folder (default: ../shared/golden where it exists).
# ATTND_JOBS: how many compilers and tests run at once (default: one a core).
set -uo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root_dir" || exit 1

export ATTND_MODEL ATTND_GOLDEN_DIR

run_tests() {
  ctest --test-dir build/release --output-on-failure --no-tests=error -j "$jobs" | tee "${ATTND_TEST_LOG:-/dev/null}"
}

left_out() {
  say "" "Left out here: sanitizers, fuzzing, lint, a second instruction set (.ci/run); each file by itself, soak," \
    "10^6 comparisons, deploy/, an emulated AVX-512, a Debian 13 root, the container image (scripts/nightly.sh)."
  [ -n "$ATTND_GOLDEN_DIR" ] ||
    say "Left out: the golden folder (set ATTND_GOLDEN_DIR); only the cases in the repository ran."
}

main() {
  ATTND_GOLDEN_DIR=$(find_golden) || exit 1
  must "install packages" scripts/install-deps.sh build test bench
  must "build (release)" build_with_tests
  must "default model" scripts/get-model.sh
  ATTND_MODEL=$(scripts/get-model.sh) || exit 1
  say "model:  $ATTND_MODEL" "golden: ${ATTND_GOLDEN_DIR:-none}"
  step "tests (release)" run_tests
  left_out
  step_summary
}

main
