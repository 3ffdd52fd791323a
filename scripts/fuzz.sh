#!/usr/bin/env bash
# Runs a fuzz target for a number of inputs, shows that they reach the code that they are about, and that the target
# would have found a fault there.
#
#   scripts/fuzz.sh [RUNS [TARGET]]      default: 1000000 safetensors
#
# TARGET is tests/fuzz/TARGET_fuzz.cc with corpus/TARGET (valid seeds, and every input that once failed) and TARGET.dict.
# What is found is written to build/fuzz/artifacts. Inputs that reach new code are kept in build/fuzz/corpus, so that the
# next run starts from them.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root_dir"

runs=${1:-1000000}
target=${2:-safetensors}
lines_percent_min=90
control_seconds_max=60
# Both hold for one input; real inputs take microseconds and a few MiB.
input_limits=(-timeout=1 -rss_limit_mb=2048)

[[ $runs =~ ^[0-9]+$ ]] || fail "RUNS is $runs; a number is wanted"
# The file that the target is about, and the line in it that the control breaks.
case $target in
  safetensors)
    source_file=core/tensor/safetensors.cc
    checked='return !__builtin_mul_overflow(a, b, &product);'
    unchecked='product = a * b; return true;'
    ;;
  *) fail "no target is called $target; known: safetensors" ;;
esac

corpus=build/fuzz/corpus/$target
seeds=tests/fuzz/corpus/$target

# fuzz_in DIRECTORY ARGUMENTS...: runs the target that was built there.
fuzz_in() {
  local dir=$1
  shift
  "$dir/tests/fuzz/${target}_fuzz" "${input_limits[@]}" -dict="tests/fuzz/$target.dict" -max_len=4096 -print_final_stats=1 \
    -verbosity=0 "$@"
}

fuzz() {
  build fuzz "${target}_fuzz"
  mkdir -p "$corpus" build/fuzz/artifacts
  fuzz_in build/fuzz -runs="$runs" -seed=1 -artifact_prefix=build/fuzz/artifacts/ "$corpus" "$seeds"
}

# Replays the corpus, and fails when too few of the file's lines were reached.
coverage() {
  build coverage "${target}_fuzz"
  local program=build/coverage/tests/fuzz/${target}_fuzz profile=build/coverage/$target
  LLVM_PROFILE_FILE=$profile.profraw "$program" -runs=0 -verbosity=0 "$corpus" "$seeds"
  llvm-profdata-14 merge -sparse "$profile.profraw" -o "$profile.profdata"
  llvm-cov-14 report "$program" -instr-profile="$profile.profdata" "$source_file"
  local percent
  percent=$(llvm-cov-14 export -summary-only "$program" -instr-profile="$profile.profdata" "$source_file" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["data"][0]["totals"]["lines"]["percent"])')
  say "lines of $source_file reached: $percent %; at least $lines_percent_min % are wanted"
  python3 -c "import sys; sys.exit($percent < $lines_percent_min)" || fail "the inputs reach too little of $source_file"
}

# In a copy, takes the check out, and fails unless the target finds that from the seeds alone within the time.
control() {
  local copy=build/fuzz-control
  rm -rf "$copy/source"
  mkdir -p "$copy/source"
  tar -c --exclude=./build --exclude=./.git --exclude=target . | tar -x -C "$copy/source"
  python3 - "$copy/source/$source_file" "$checked" "$unchecked" <<'PYTHON'
import sys
path, checked, unchecked = sys.argv[1:]
text = open(path).read()
assert text.count(checked) == 1, f"{path} no longer has the line that the control breaks: {checked}"
open(path, "w").write(text.replace(checked, unchecked))
PYTHON
  # With no fixed file names in it, ccache finds what the other builds compiled.
  (cd "$copy/source" && CCACHE_BASEDIR=$PWD cmake --preset fuzz >../configure.log 2>&1) ||
    { cat "$copy/configure.log"; fail "the copy does not configure"; }
  ninja -C "$copy/source/build/fuzz" -j "$jobs" "${target}_fuzz" >"$copy/build.log" 2>&1 ||
    { tail -n 20 "$copy/build.log"; fail "the copy does not build"; }
  local begin=$SECONDS
  if fuzz_in "$copy/source/build/fuzz" -max_total_time="$control_seconds_max" -seed=1 \
    -artifact_prefix="$copy/" "$seeds" >"$copy/run.log" 2>&1; then
    tail -n 20 "$copy/run.log"
    fail "without the check, nothing was found in $control_seconds_max s"
  fi
  grep -q 'check failed\|ERROR: ' "$copy/run.log" || { tail -n 20 "$copy/run.log"; fail "the control ended otherwise"; }
  grep -m1 'check failed\|ERROR: ' "$copy/run.log"
  say "control: found after $((SECONDS - begin)) s without the check"
}

step "$target: $runs inputs" fuzz || { step_summary; exit 1; }
step "$target: lines reached" coverage || true
step "$target: control" control || true
step_summary
