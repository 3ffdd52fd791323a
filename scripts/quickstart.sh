#!/usr/bin/env bash
# From a fresh checkout to answers: installs what is missing, builds, gets the default model, starts attnd, encodes
# a few sentences, shows their tokens, numbers and similarities and the latency lines of /metrics, and stops what it started.
#
#   scripts/quickstart.sh [--keep]      as root or with sudo; --keep leaves the server running and says how to call it
#
# ATTND_MODEL=DIR serves that Hugging Face directory instead of the default model.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root_dir"

attnd=build/release/server/attnd
attnctl=build/release/client/attnctl
log=build/quickstart.log
keep=no
server=

stop_server() {
  if [ -n "$server" ] && kill "$server" 2>/dev/null; then wait "$server" || true; fi
}

# free_port PREFERRED: that port if nobody has it, else one that the kernel picks.
free_port() {
  python3 - "$1" <<'PYTHON'
import socket, sys
for port in (int(sys.argv[1]), 0):
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            continue
        print(listener.getsockname()[1])
        break
PYTHON
}

build_attnd() {
  # Without the tests: scripts/test.sh adds them, in the same folder.
  [ -f build/release/build.ninja ] || configure release -DATTND_TESTS=OFF -DATTND_BENCH=OFF
  build release attnd attnctl
}

start_server() {
  local port metrics_port attempt
  port=$(free_port 50051)
  metrics_port=$(free_port 9090)
  target=127.0.0.1:$port
  metrics=http://127.0.0.1:$metrics_port/metrics
  "$attnd" --model "$model" --listen "$target" --metrics-listen "127.0.0.1:$metrics_port" \
    --shutdown-delay 0s >"$log" 2>&1 </dev/null &
  server=$!
  for attempt in $(seq 300); do
    if "$attnctl" health --target "$target" >/dev/null 2>&1; then return; fi
    kill -0 "$server" 2>/dev/null || { cat "$log" >&2; fail "attnd did not start"; }
    sleep 0.1
  done
  cat "$log" >&2
  fail "attnd was not ready after 30 s"
}

show() {
  say "" "== tokens, first numbers of their vectors, similarities"
  "$attnctl" encode --target "$target" --vectors \
    "The cat sat on the mat." \
    "A kitten rested on the rug." \
    "Attention weighs every word against every other." \
    "The invoice is due on Friday."
  say "" "== latency, from $metrics"
  curl --silent --show-error --fail "$metrics" | grep -E '^attnd_[a-z_]*seconds_(sum|count)' | grep -v ' 0$'
}

main() {
  case ${1:-} in
    "") ;;
    --keep) keep=yes ;;
    *) fail "usage: scripts/quickstart.sh [--keep]" ;;
  esac
  must "install packages" scripts/install-deps.sh build run
  must "build" build_attnd
  if [ -n "${ATTND_MODEL:-}" ]; then
    model=$ATTND_MODEL
  else
    must "default model" scripts/get-model.sh
    model=$(scripts/get-model.sh)
  fi
  trap stop_server EXIT
  trap 'exit 130' INT TERM
  say "== starting attnd on $model"
  start_server
  show
  if [ "$keep" = yes ]; then
    trap - EXIT
    disown "$server"
    say "" "attnd runs as process $server; its log is $log. Call it:" \
      "  $attnctl encode --target $target \"Any text.\"" \
      "  curl $metrics" \
      "Stop it: kill $server"
  fi
  step_summary
}

main "$@"
