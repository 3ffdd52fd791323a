#!/usr/bin/env bash
# Builds attnd and runs all its tests in a bare Debian 13: gcc 14, oneDNN 3.7.2, Abseil 20240722.
#
#   scripts/check-debian13.sh [DIR]     as root; DIR (default: a temporary folder, removed at the end) holds the root
#
# About 3 GB of disk. A DIR that exists is used again, which saves making it.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/debian-root.sh"

suite=trixie
root=${1:-}
temporary=

clean_up() {
  local folder
  for folder in proc sys; do
    if mountpoint -q "$root/$folder"; then umount "$root/$folder"; fi
  done
  if [ -n "$temporary" ]; then rm -rf "$temporary"; fi
}

main() {
  "$root_dir/scripts/install-deps.sh" root
  if [ -z "$root" ]; then
    temporary=$(mktemp -d "${TMPDIR:-/var/tmp}/attnd-$suite.XXXXXX")
    root=$temporary
  fi
  trap clean_up EXIT
  if [ ! -x "$root/usr/bin/apt-get" ]; then
    say "making a $suite root in $root"
    make_debian_root "$root" "$suite"
  fi
  mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
  # Without it glibc leaves an errno behind when it counts CPUs, which gRPC 1.51 may take for that of a connect in progress.
  mountpoint -q "$root/sys" || mount -t sysfs -o ro sys "$root/sys"

  local model golden
  model=$("$root_dir/scripts/get-model.sh")
  golden=$(find_golden)
  copy_sources "$root/root/attnd"
  mkdir -p "$root/root/.cache/attnd"
  [ -d "$root/root/.cache/attnd/${model##*/}" ] || cp -r "$model" "$root/root/.cache/attnd/"
  if [ -n "$golden" ] && [ ! -d "$root/root/shared/golden" ]; then
    mkdir -p "$root/root/shared"
    cp -r "$golden" "$root/root/shared/golden"
  fi
  in_root "$root" bash -c 'cat /etc/debian_version; cd /root/attnd && scripts/test.sh'
}

main
