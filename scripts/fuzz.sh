#!/usr/bin/env bash
# Runs fuzz targets for a number of inputs, shows that they reach the code that they are about, and that each would have
# found a fault there.
#
#   scripts/fuzz.sh [--inputs-only] [RUNS [TARGET...]]      default: 1000000 safetensors
#
# --inputs-only leaves out what shows that the inputs mean something; it takes as long again, and changes seldom.
# TARGET is tests/fuzz/TARGET_fuzz.cc with corpus/TARGET (valid seeds), TARGET.dict, and found/TARGET: inputs that once
# were a fault. The RUNS are shared by as many processes as there are cores. What is found is written to
# build/fuzz/artifacts. Inputs that reach new code are kept in build/fuzz/corpus, so that the next run starts there.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root_dir"

inputs_only=
[ "${1:-}" != --inputs-only ] || { inputs_only=yes; shift; }
runs=${1:-1000000}
shift $(($# > 0))
targets=("${@:-safetensors}")
control_seconds_max=60

[[ $runs =~ ^[0-9]+$ ]] || fail "RUNS is $runs; a number is wanted"

# describe TARGET: the files that it is about, each with the least percentage of lines that its inputs reach; the line
# that the control breaks, and what is said when that is found.
describe() {
  target=$1
  sign='check failed'
  # 2 GiB and 30 seconds for one input, by the clock of a machine that may be busy; real ones take microseconds to
  # milliseconds, and a few MiB.
  own_arguments=(-max_len=4096 -timeout=30)
  case $target in
    safetensors)
      covered=(core/tensor/safetensors.cc=90)
      broken_file=core/tensor/safetensors.cc
      checked='return !__builtin_mul_overflow(a, b, &product);'
      unchecked='product = a * b; return true;'
      own_arguments+=(-timeout=1)
      ;;
    config)
      # A third of model_config.cc is the digest of files; a quarter of t5.cc is computed by the compiler.
      covered=(core/base/json.cc=90 core/model/model_config.cc=65 core/input/mask_token.cc=90)
      covered+=(core/model/families/t5.cc=70)
      for file in core/model/families/*.cc; do
        [ "$file" = core/model/families/t5.cc ] || covered+=("$file=85")
      done
      broken_file=core/base/json.cc
      checked='if (!fits || value.get<int64_t>() < min || value.get<int64_t>() > max) {'
      unchecked='if (!fits) {'
      own_arguments+=(-malloc_limit_mb=64)
      ;;
    tokenizer)
      # Rust is not counted: its compiler's instrumentation is another than ours. Its lazily made tables look like leaks
      # of the input that they are first made for.
      covered=(core/input/tokenizer.cc=85)
      broken_file=core/input/tokenizers_ffi/src/tokenizer.rs
      checked='lengths.iter().all(|&length| length == encoding.len())'
      unchecked='!lengths.is_empty()'
      sign='ERROR: \(AddressSanitizer\|libFuzzer: deadly signal\)\|runtime error'
      own_arguments+=(-malloc_limit_mb=256 -detect_leaks=0)
      ;;
    server_config)
      # Half of config.cc is about the environment, which is no part of an input.
      covered=(server/config.cc=40 server/config_flags.cc=90 server/config_models.cc=90 server/address.cc=60)
      broken_file=server/config_flags.cc
      checked='if (is_number && value >= range.least && value <= range.most) return {};'
      unchecked='if (is_number) return {};'
      own_arguments+=(-malloc_limit_mb=64)
      ;;
    request)
      # Half of error.cc is about what the engine says.
      covered=(server/validate/error.cc=60)
      for file in server/{validate,heads,represent}/*.cc; do
        [ "$file" = server/validate/error.cc ] || covered+=("$file=85")
      done
      broken_file=server/validate/input.cc
      checked='if (given.ids(i) < 0 || given.ids(i) >= model.info.vocabulary) {'
      unchecked='if (given.ids(i) < 0) {'
      own_arguments+=(-max_len=2048 -malloc_limit_mb=32)
      ;;
    *) fail "no target is called $target; known: safetensors config tokenizer server_config request" ;;
  esac
  corpus=build/fuzz/corpus/$target
  seeds=tests/fuzz/corpus/$target
  inputs=("$corpus" "$seeds")
  [ ! -d "tests/fuzz/found/$target" ] || inputs+=("tests/fuzz/found/$target")
  fuzz_arguments=(-rss_limit_mb=2048 -verbosity=0 -print_funcs=0 -dict="tests/fuzz/$target.dict"
    "${own_arguments[@]}")
}

# Targets write files for what reads files.
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm

# One process, for its part of the runs.
fuzz_part() {
  "build/fuzz/tests/fuzz/${target}_fuzz" "${fuzz_arguments[@]}" -seed="$1" -runs=$(((runs + jobs - 1) / jobs)) \
    -print_final_stats=1 -artifact_prefix="build/fuzz/artifacts/$target-" "${inputs[@]}" >"$corpus.$1.log" 2>&1
}

fuzz() {
  # Always: what follows depends on options that a folder configured before may lack.
  configure fuzz
  build fuzz "${target}_fuzz"
  mkdir -p "$corpus" build/fuzz/artifacts
  local part status=0 processes=()
  for ((part = 1; part <= jobs; ++part)); do
    fuzz_part "$part" &
    processes+=($!)
  done
  for ((part = 1; part <= jobs; ++part)); do
    wait "${processes[part - 1]}" || { status=1; grep -v '# Uses: ' "$corpus.$part.log"; }
  done
  [ "$status" -eq 0 ] || fail "$target: something was found; the input is in build/fuzz/artifacts"
  grep -h 'stat::number_of_executed_units\|stat::peak_rss_mb' "$corpus".*.log
}

# Replays the corpus, and fails when too few of a file's lines were reached.
coverage() {
  configure coverage
  build coverage "${target}_fuzz"
  local program=build/coverage/tests/fuzz/${target}_fuzz profile=build/coverage/$target
  LLVM_PROFILE_FILE=$profile.profraw "$program" -runs=0 -verbosity=0 "${own_arguments[@]}" "${inputs[@]}"
  llvm-profdata-14 merge -sparse "$profile.profraw" -o "$profile.profdata"
  # By the end of the name: what stands before it is the compiler's, or ccache's, choice.
  llvm-cov-14 export -summary-only "$program" -instr-profile="$profile.profdata" | python3 -c '
import json, sys
files = json.load(sys.stdin)["data"][0]["files"]
too_few = 0
for wanted in sys.argv[1:]:
    name, least = wanted.split("=")
    found = [file["summary"]["lines"] for file in files if ("/" + file["filename"]).endswith("/" + name)]
    if len(found) != 1:
        sys.exit(f"{len(found)} files end with {name}")
    percent = found[0]["percent"]
    print(f"lines of {name} reached: {percent:.1f} %; at least {least} % are wanted")
    too_few += percent < float(least)
sys.exit(too_few > 0)' "${covered[@]}" || fail "the inputs reach too little"
}

# broken_copy FILE: a copy of the file without the check.
broken_copy() {
  [ "$(grep -cF "$checked" "$broken_file")" = 1 ] ||
    fail "$broken_file lacks the line that the control breaks: $checked"
  python3 -c 'import sys; print(sys.stdin.read().replace(*sys.argv[1:]), end="")' "$checked" "$unchecked" \
    <"$broken_file" >"$1"
}

# The build's own commands, with a copy in place of the file, or of the one that it is compiled in with others of its
# folder. The object goes where the other was, or before the libraries.
build_broken_object() {
  local copy=$scratch/${broken_file##*/} input=$root_dir/$broken_file object=$scratch/broken.o compile old link
  broken_copy "$copy"
  if ! grep -qF -- "-c $input" <<<"$commands"; then
    local unity
    for unity in $(grep -oE -- '-c [^ ]+\.cxx' <<<"$commands" | cut -c 4-); do
      ! grep -qF "\"$input\"" "$unity" || break
    done
    sed "s#\"$input\"#\"$copy\"#" "$unity" >"$scratch/unity.cxx"
    input=$unity copy=$scratch/unity.cxx
  fi
  compile=$(grep -F -- "-c $input" <<<"$commands") || fail "$broken_file is not compiled"
  old=$(sed -E 's#.* -o ([^ ]+) .*#\1#' <<<"$compile")
  compile=$(sed -E "s# -MF [^ ]+##; s# -MT [^ ]+##; s# -MD##; s# -o [^ ]+# -o $object#" <<<"$compile")
  link=$(tail -n 1 <<<"$commands" | sed -E "s# $old # #; s# -o [^ ]+# $object -o $program#")
  (cd build/fuzz && eval "${compile/-c $input/-c $copy}" && eval "$link")
}

# What the crate depends on is compiled already.
build_broken_crate() {
  local crate=core/input/tokenizers_ffi archive=cargo/release/libtokenizers_ffi.a
  cp -r "$crate" "$scratch/crate"
  broken_copy "$scratch/crate/src/${broken_file##*/}"
  cp -al build/cargo "$scratch/cargo"
  cargo build --release --locked --quiet --manifest-path "$scratch/crate/Cargo.toml" --target-dir "$scratch/cargo"
  local link
  link=$(tail -n 1 <<<"$commands" | sed -E "s#[^ ]*$archive#$scratch/$archive#; s# -o [^ ]+# -o $program#")
  (cd build/fuzz && eval "$link")
}

# Builds the target with a copy of the file that lacks the check, and fails unless that is found from the seeds alone
# within the time.
control() {
  local scratch=$root_dir/build/fuzz/control/$target
  local program=$scratch/${target}_fuzz commands
  rm -rf "$scratch"
  mkdir -p "$scratch/corpus"
  commands=$(ninja -C build/fuzz -t commands "${target}_fuzz")
  if [[ $broken_file == *.rs ]]; then build_broken_crate; else build_broken_object; fi
  local begin=$SECONDS
  if "$program" "${fuzz_arguments[@]}" -seed=1 -max_total_time="$control_seconds_max" -artifact_prefix="$scratch/" \
    "$scratch/corpus" "$seeds" >"$scratch/log" 2>&1; then
    fail "without the check, nothing was found in $control_seconds_max s"
  fi
  grep -m1 "$sign" "$scratch/log" || { tail -n 20 "$scratch/log"; fail "the control ended otherwise"; }
  say "control: without the check, found after $((SECONDS - begin)) s"
  rm -rf "$scratch/cargo"
}

for one in "${targets[@]}"; do describe "$one"; done
for one in "${targets[@]}"; do
  describe "$one"
  failures=${#failed_steps[@]}
  step "$target: $runs inputs" fuzz
  [ -z "$inputs_only" ] && [ "${#failed_steps[@]}" -eq "$failures" ] || continue
  step "$target: lines reached" coverage
  step "$target: control" control
done
step_summary
