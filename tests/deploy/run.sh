#!/usr/bin/env bash
# Everything about deploy/: installs what the tests need, then runs them. About five minutes once it is all there.
#
#   tests/deploy/run.sh [BUILD]      BUILD has server/attnd and client/attnctl (default: build/release)
set -euo pipefail
. "$(dirname "$0")/../../scripts/lib.sh"
. "$(dirname "$0")/tools.sh"

build_dir=$(realpath "${1:-$root_dir/build/release}")
[ -x "$build_dir/server/attnd" ] && [ -x "$build_dir/client/attnctl" ] || fail "no attnd and attnctl in $build_dir"
model=$root_dir/tests/data/models/bert-a

python_test() {
  python3 "$root_dir/tests/deploy/$1" "$build_dir" "$model"
}

must "packages" "$root_dir/scripts/install-deps.sh" deploy
go_tools
step "manifests" python_test manifests_test.py
step "prometheus" python_test prometheus_test.py
step "haproxy" python_test haproxy_test.py
step "operation of the proxy" python_test proxy_operation_test.py
step_summary
