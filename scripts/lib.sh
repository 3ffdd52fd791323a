# What the scripts share: sourced, never run. Steps are timed and named, so that a failure says where.

root_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
jobs=${ATTND_JOBS:-$(nproc)}
step_lines=()
failed_steps=()
# A second checkout, and each preset, finds what the first has compiled: paths count from the checkout.
export CCACHE_BASEDIR=$root_dir CCACHE_NOHASHDIR=1

say() { printf '%s\n' "$@"; }
fail() { printf '%s: error: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# step NAME COMMAND...: runs the command and remembers how long it took and whether it failed. To be called alone on its
# line: bash ignores `set -e` below an `if`, `||` or `&&`, so that a function would go on after its first failure.
step() {
  local name=$1 begin=$SECONDS status options=$-
  shift
  say "== $name"
  set +e
  (set -e; trap - EXIT; "$@")
  status=$?
  [[ $options != *e* ]] || set -e
  local word=ok
  if [ "$status" -ne 0 ]; then
    word="FAILED ($status)"
    failed_steps+=("$name")
  fi
  step_lines+=("$(printf '%6d s  %-34s %s' $((SECONDS - begin)) "$name" "$word")")
  say "-- $name: $word, $((SECONDS - begin)) s"
}

# must NAME COMMAND...: a step without which the rest makes no sense.
must() {
  step "$@"
  [ "${#failed_steps[@]}" -eq 0 ] || { step_summary; exit 1; }
}

# Prints every step with its time; the status is 1 when one failed.
step_summary() {
  say "" "Steps:"
  printf '%s\n' "${step_lines[@]}"
  if [ "${#failed_steps[@]}" -gt 0 ]; then
    local IFS=,
    say "FAILED: ${failed_steps[*]}"
    return 1
  fi
}

# quietly WHAT COMMAND...: its output only if it fails.
quietly() {
  local what=$1 log
  shift
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1 </dev/null; then
    tail -n 15 "$log" >&2
    rm -f "$log"
    fail "$what failed"
  fi
  rm -f "$log"
}

# configure PRESET [-DNAME=VALUE...]: quiet, unless it fails.
configure() {
  local log status=0
  log=$(mktemp)
  (cd "$root_dir" && cmake --preset "$@" >"$log" 2>&1) || status=$?
  [ "$status" -eq 0 ] || cat "$log" >&2
  rm -f "$log"
  [ "$status" -eq 0 ] || fail "cmake --preset $* failed"
}

# build PRESET [TARGET...]: configures when that has not been done, and builds.
build() {
  local preset=$1 dir=$root_dir/build/$1
  shift
  [ -f "$dir/build.ninja" ] || configure "$preset"
  if [ -t 1 ]; then
    ninja -C "$dir" -j "$jobs" "$@"
  else
    # A log wants a line now and then, not a line a file: every tenth.
    NINJA_STATUS='[%f/%t] ' ninja -C "$dir" -j "$jobs" "$@" | sed -u '/^\[[0-9]*[1-9]\//d'
    return "${PIPESTATUS[0]}"
  fi
}

# The release build with all tests; a folder that scripts/quickstart.sh configured lacks them.
build_with_tests() {
  configure release -DATTND_TESTS=ON -DATTND_BENCH=ON
  build release
}

# The golden folder: the caller's choice, else the one that lies beside the checkout, else none.
find_golden() {
  if [ -n "${ATTND_GOLDEN_DIR:-}" ]; then
    [ -d "$ATTND_GOLDEN_DIR/cases" ] || fail "ATTND_GOLDEN_DIR=$ATTND_GOLDEN_DIR has no cases/"
    say "$ATTND_GOLDEN_DIR"
  elif [ -d "$root_dir/../shared/golden/cases" ]; then
    (cd "$root_dir/../shared/golden" && pwd)
  fi
}
