#!/usr/bin/env bash
# Runs a fuzz target for a number of inputs, shows that they reach the code that they are about, and that the target
# would have found a fault there.
#
#   scripts/fuzz.sh [RUNS [TARGET]]      default: 1000000 safetensors
#
# TARGET is tests/fuzz/TARGET_fuzz.cc with corpus/TARGET (valid seeds) and TARGET.dict. What is found is written to
# build/fuzz/artifacts. Inputs that reach new code are kept in build/fuzz/corpus, so that the next run starts there.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root_dir"

runs=${1:-1000000}
target=${2:-safetensors}
lines_percent_min=90
control_seconds_max=60

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
# A second and 2 GiB for one input; real ones take microseconds and a few MiB.
fuzz_arguments=(-timeout=1 -rss_limit_mb=2048 -max_len=4096 -seed=1 -verbosity=0 -dict="tests/fuzz/$target.dict")

fuzz() {
  # Always: what follows depends on options that a folder configured before may lack.
  configure fuzz
  build fuzz "${target}_fuzz"
  mkdir -p "$corpus" build/fuzz/artifacts
  "build/fuzz/tests/fuzz/${target}_fuzz" "${fuzz_arguments[@]}" -runs="$runs" -print_final_stats=1 \
    -artifact_prefix=build/fuzz/artifacts/ "$corpus" "$seeds" 2>&1 | grep -v '# Uses: '
}

# Replays the corpus, and fails when too few of the file's lines were reached.
coverage() {
  configure coverage
  build coverage "${target}_fuzz"
  local program=build/coverage/tests/fuzz/${target}_fuzz profile=build/coverage/$target
  LLVM_PROFILE_FILE=$profile.profraw "$program" -runs=0 -verbosity=0 "$corpus" "$seeds"
  llvm-profdata-14 merge -sparse "$profile.profraw" -o "$profile.profdata"
  # By the end of the name: what stands before it is the compiler's, or ccache's, choice.
  local percent
  percent=$(llvm-cov-14 export -summary-only "$program" -instr-profile="$profile.profdata" |
    python3 -c '
import json, sys
files = json.load(sys.stdin)["data"][0]["files"]
found = [file["summary"]["lines"]["percent"] for file in files if ("/" + file["filename"]).endswith(sys.argv[1])]
print("%.1f" % found[0] if len(found) == 1 else sys.exit(f"{len(found)} files end with {sys.argv[1]}"))' "/$source_file")
  say "lines of $source_file reached: $percent %; at least $lines_percent_min % are wanted"
  python3 -c "import sys; sys.exit($percent < $lines_percent_min)" || fail "the inputs reach too little of $source_file"
}

# Builds the target with a copy of the file that lacks the check, and fails unless that is found from the seeds alone
# within the time.
control() {
  local scratch=$root_dir/build/fuzz/control
  local copy=$scratch/${source_file##*/} object=$scratch/unchecked.o program=$scratch/${target}_fuzz
  rm -rf "$scratch"
  mkdir -p "$scratch/corpus"
  [ "$(grep -cF "$checked" "$source_file")" = 1 ] ||
    fail "$source_file lacks the line that the control breaks: $checked"
  python3 -c 'import sys; print(sys.stdin.read().replace(*sys.argv[1:]), end="")' "$checked" "$unchecked" \
    <"$source_file" >"$copy"
  # The commands of the build itself, with the copy in place of the file and its object before the libraries.
  local commands compile link
  commands=$(ninja -C build/fuzz -t commands "${target}_fuzz")
  compile=$(grep -F -- "-c $root_dir/$source_file" <<<"$commands") || fail "$source_file is not compiled by itself"
  compile=$(sed -E "s# -MF [^ ]+##; s# -MT [^ ]+##; s# -MD##; s# -o [^ ]+# -o $object#" <<<"$compile")
  link=$(tail -n 1 <<<"$commands" | sed -E "s# -o [^ ]+# $object -o $program#")
  (cd build/fuzz && eval "${compile/-c $root_dir\/$source_file/-c $copy}" && eval "$link")

  local begin=$SECONDS
  if "$program" "${fuzz_arguments[@]}" -max_total_time="$control_seconds_max" -artifact_prefix="$scratch/" \
    "$scratch/corpus" "$seeds" >"$scratch/log" 2>&1; then
    fail "without the check, nothing was found in $control_seconds_max s"
  fi
  grep -m1 'check failed' "$scratch/log" || { tail -n 20 "$scratch/log"; fail "the control ended otherwise"; }
  say "control: without the check, found after $((SECONDS - begin)) s"
}

must "$target: $runs inputs" fuzz
step "$target: lines reached" coverage
step "$target: control" control
step_summary
