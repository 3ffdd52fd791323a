#!/usr/bin/env bash
# What takes longer than .ci/run may: a soak, 10^6 comparisons for batch invariance, long fuzzing, a bare Debian 13, the
# container image. Every step is bounded; every step runs even when an earlier one failed.
#
#   scripts/nightly.sh      as root
#
# SOAK_SECONDS (default 1800), COMPARISONS (default 1000000), FUZZ_INPUTS (default 20000000).
set -uo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root_dir" || exit 1
