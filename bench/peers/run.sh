#!/usr/bin/env bash
# Measures attnd beside PyTorch, ONNX Runtime, OpenVINO and CTranslate2 on this machine, and writes the section of
# bench/RESULTS.md and bench/peers.svg. Let nothing else run meanwhile.
#
#   bench/peers/run.sh [--quick] [--passes N] [...]      --help lists the rest
#
# The peers come from PyPI, through pip's own configuration, into an environment of their own below the cache folder
# (about 7 GB: PyTorch's build for Linux brings CUDA along). ATTND_CACHE: the cache folder (default: ~/.cache/attnd).
set -euo pipefail
. "$(dirname "$0")/../../scripts/lib.sh"

cache=${ATTND_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/attnd}/peers
here=$root_dir/bench/peers

# The environment is whole when it holds the requirements that it was made from.
make_environment() {
  mkdir -p "$cache"
  exec 9>"$cache/.lock"
  flock 9
  if ! cmp -s "$here/requirements.txt" "$cache/venv/requirements.txt"; then
    say "installing the peers below $cache" >&2
    rm -rf "${cache:?}/venv"
    python3 -m venv "$cache/venv"
    "$cache/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir \
      --only-binary :all: --requirement "$here/requirements.txt" >&2
    cp "$here/requirements.txt" "$cache/venv/requirements.txt"
  fi
  flock -u 9
}

main() {
  local words
  words=$(printf '%s\n' "bench/peers/run.sh" "$@")
  "$root_dir/scripts/install-deps.sh" build bench peers >&2
  make_environment
  build release attnd attnctl attnd_engine roof_bench >&2
  protoc -I "$root_dir/proto" --include_imports --descriptor_set_out="$cache/encoder.pb" attnd/v1/encoder.proto
  # A hub is asked for nothing: every file is here.
  export PYTHONPATH=$root_dir/bench PEERS_COMMAND=$words HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
  local minilm
  minilm=$("$root_dir/scripts/get-model.sh")
  exec "$cache/venv/bin/python" -m peers --build "$root_dir/build/release" --minilm "$minilm" --cache "$cache" "$@"
}

main "$@"
