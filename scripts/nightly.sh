#!/usr/bin/env bash
# What takes longer than .ci/run may: each file compiled by itself, a soak, 10^6 comparisons for batch invariance, long
# fuzzing, deploy/ with a real proxy and Prometheus, an emulated CPU with AVX-512, a bare Debian 13, the container image.
# Every step is bounded; every step runs even when an earlier one failed.
#
#   scripts/nightly.sh      as root
#
# SOAK_SECONDS (default 1800), COMPARISONS (default 1000000), FUZZ_INPUTS (default 20000000; a half and a twentieth of
# them for targets that take longer an input).
set -uo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root_dir" || exit 1

soak_seconds=${SOAK_SECONDS:-1800}
comparisons=${COMPARISONS:-1000000}
fuzz_inputs=${FUZZ_INPUTS:-20000000}

# bounded SECONDS COMMAND...: a step that hangs is a step that failed.
bounded() { timeout --kill-after=30 "$@"; }

# Which comparisons: those held to AVX2 say nothing new where there is nothing beyond it.
invariance_tests() { if grep -q avx512f /proc/cpuinfo; then say '^invariance/'; else say '^invariance/native$'; fi; }

# Each file by itself and without precompiled headers: that it includes what it uses is seen here.
one_by_one() {
  cmake --preset release -B build/one_by_one -DATTND_UNITY=OFF -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON >/dev/null
  ninja -C build/one_by_one -j "$jobs" | tail -n 1
}

main() {
  export ATTND_MODEL ATTND_GOLDEN_DIR
  step "install packages" scripts/install-deps.sh build test bench fuzz image root
  step "build (release)" build_with_tests
  step "each file by itself" one_by_one
  step "default model" scripts/get-model.sh
  ATTND_MODEL=$(scripts/get-model.sh) && ATTND_GOLDEN_DIR=$(find_golden) || failed_steps+=("model and golden folder")
  step "soak, $soak_seconds s" bounded $((soak_seconds + 300)) \
    python3 tests/e2e/soak.py build/release "$ATTND_MODEL" "$soak_seconds"
  # About a quarter of an hour an instruction set on two cores.
  step "$comparisons comparisons" bounded 7500 env ATTND_COMPARISONS="$comparisons" \
    ctest --test-dir build/release --output-on-failure --no-tests=error -V -R "$(invariance_tests)"
  # Needs go on PATH once, for kustomize and its like (tests/deploy/tools.sh); about five minutes.
  step "deployment" bounded 1800 tests/deploy/run.sh build/release
  step "fuzzing, $fuzz_inputs inputs" bounded 7200 scripts/fuzz.sh "$fuzz_inputs" safetensors
  # 0.2 to 0.3 ms an input; what .ci/run leaves out of them is shown here.
  step "fuzzing, $((fuzz_inputs / 2)) inputs each" bounded 9000 scripts/fuzz.sh $((fuzz_inputs / 2)) request config
  # Milliseconds an input: the tables of a tokenizer, or all flags, are made anew for each.
  step "fuzzing, $((fuzz_inputs / 200)) inputs each" bounded 9000 \
    scripts/fuzz.sh $((fuzz_inputs / 200)) tokenizer server_config
  if grep -q avx512_bf16 /proc/cpuinfo; then
    say "this CPU has AVX-512 and BF16: .ci/run tested them"
  else
    step "AVX-512 and BF16, emulated" bounded 9000 scripts/check-avx512.sh
  fi
  step "Debian 13" bounded 7200 scripts/check-debian13.sh
  step "container image" bounded 7200 scripts/check-image.sh
  say "" "Left out here: benchmarks (bench/run.sh); the rest is in .ci/run."
  step_summary
}

main
