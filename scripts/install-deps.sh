#!/usr/bin/env bash
# Installs the Debian packages that a task needs, and only those that are missing (Debian 12 and 13).
#
#   scripts/install-deps.sh [GROUP...]      as root, or as a user who may sudo
#
# Groups: build (the default: everything that attnd itself needs), run (to try it), test, bench, peers, lint, proto,
#   fuzz, model, image, root, deploy.
# Each group stands alone: `test` does not bring `build`. `lint` and `fuzz` need clang 14, which Debian 12 has.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

packages_of() {
  case $1 in
    build)
      say ca-certificates ccache cmake g++ ninja-build pkg-config python3 \
        libabsl-dev libcli11-dev libdnnl-dev libgrpc++-dev libprotobuf-dev libspdlog-dev \
        libssl-dev nlohmann-json3-dev prometheus-cpp-dev protobuf-compiler protobuf-compiler-grpc
      # The tokenizers crate: any cargo on PATH will do; Debian's current one is the web browsers' one.
      command -v cargo >/dev/null || say cargo-web rustc-web
      ;;
    run) say curl python3 ;;
    test) say curl libgmock-dev libgtest-dev python3 ;;
    bench) say libbenchmark-dev ;;
    # bench/peers/run.sh makes an environment; a Python that brings its own pip keeps it.
    peers) python3 -c 'import ensurepip' 2>/dev/null || say python3-venv ;;
    lint) say clang-14 clang-format-14 clang-tidy-14 libclang-rt-14-dev python3 ;;
    fuzz) say clang-14 libclang-rt-14-dev llvm-14 python3 ;;
    # check-proto.sh gets buf from npm; a machine that has npm keeps its own.
    proto) command -v npm >/dev/null || say npm ;;
    model) say ca-certificates python3 python3-pip util-linux ;;
    image) say buildah debootstrap iproute2 util-linux ;;
    root) say debootstrap ;;
    # tests/deploy/run.sh brings the Go tools itself.
    deploy) say haproxy openssl prometheus python3 python3-yaml ;;
    *) fail "unknown group '$1' (build, run, test, bench, peers, lint, proto, fuzz, model, image, root, deploy)" ;;
  esac
}

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# apt_get LOG ARGUMENTS...: quiet, never asks, three attempts at each download.
apt_get() {
  local log=$1
  shift
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=3 -q "$@" >"$log" 2>&1 </dev/null
}

main() {
  command -v apt-get >/dev/null || fail "this machine has no apt-get; README.md lists what attnd is built from"
  [ "$#" -gt 0 ] || set -- build
  local wanted group package missing=()
  wanted=$(for group in "$@"; do packages_of "$group" || exit 1; done | tr ' ' '\n' | sort -u)
  for package in $wanted; do
    installed "$package" || missing+=("$package")
  done
  if [ "${#missing[@]}" -eq 0 ]; then
    say "packages ($*): all there"
    return
  fi
  [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null ||
    fail "not root and no sudo; missing packages: ${missing[*]}"

  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  say "packages ($*): installing ${missing[*]}"
  apt_get "$log" update || { tail -n 15 "$log" >&2; fail "apt-get update failed"; }
  local unknown=()
  for package in "${missing[@]}"; do
    apt-cache show "$package" >/dev/null 2>&1 || unknown+=("$package")
  done
  [ "${#unknown[@]}" -eq 0 ] || fail "this machine's package sources do not have: ${unknown[*]}"
  if ! apt_get "$log" install -y --no-install-recommends "${missing[@]}"; then
    tail -n 15 "$log" >&2
    local still=()
    for package in "${missing[@]}"; do installed "$package" || still+=("$package"); done
    fail "apt-get install failed; still missing: ${still[*]}"
  fi
  say "packages ($*): ${#missing[@]} installed"
}

main "$@"
