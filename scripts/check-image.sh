#!/usr/bin/env bash
# Builds the Dockerfile and sends the running container a request, on a machine without a container engine.
#
#   scripts/check-image.sh      as root
#
# buildah builds with `--isolation chroot` over a base image made by debootstrap, which stands in for debian:trixie-slim.
# The container then runs as the image says (user, entry point, command), and must not write anywhere.
# About 6 GB of disk below TMPDIR (default /var/tmp), removed at the end.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/debian-root.sh"

added_megabytes_max=150
work=

store() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }
megabytes() { du -sxm "$1" | cut -f1; }
config() { store inspect --type image --format "{{$1}}" attnd; }

clean_up() {
  if [ -n "$work" ]; then
    store umount --all >/dev/null 2>&1 || true
    rm -rf "$work"
  fi
}

make_base() {
  make_debian_root "$work/base" trixie
  # What a slim image leaves out too.
  rm -rf "$work"/base/usr/share/{doc,man,info,locale}/* "$work"/base/var/lib/apt/lists/*
  local container
  container=$(store from scratch)
  store add --quiet "$container" "$work/base" / >/dev/null
  store config --cmd /bin/bash "$container"
  store commit --quiet --format docker "$container" base >/dev/null
  store rm "$container" >/dev/null
}

build_image() {
  copy_sources "$work/context"
  store bud --isolation chroot --format docker --build-arg BASE=localhost/base --tag attnd "$work/context"
}

# The image says who it runs as and what it starts, and brings its health check.
check_configuration() {
  local user health
  user=$(config .OCIv1.Config.User)
  health=$(config .Docker.Config.Healthcheck.Test)
  say "user $user; health check $health; $(config .OCIv1.Config.Entrypoint) $(config .OCIv1.Config.Cmd)"
  [ "$user" = 65532:65532 ] || fail "the image runs as '$user', not as 65532:65532"
  [[ $health == *attnctl*health* ]] || fail "the image has no health check"
}

check_sizes() {
  local image base model
  image=$(megabytes "$1")
  base=$(megabytes "$work/base")
  model=$(megabytes "$work/model")
  say "image: $image MB, of which base: $base MB, added by attnd: $((image - base)) MB; model, not in it: $model MB"
  [ $((image - base)) -lt "$added_megabytes_max" ] || fail "attnd adds $((image - base)) MB; at most $added_megabytes_max"
}

in_container() { store run --isolation chroot --user 65532:65532 --volume "$work/model:/model:ro" attnd-run -- "$@"; }

# attnd_below PID: the process called attnd among its descendants. A signal to `buildah run` itself would not reach it.
attnd_below() {
  local child
  for child in $(cat "/proc/$1/task/"*/children 2>/dev/null); do
    if [ "$(cat "/proc/$child/comm" 2>/dev/null)" = attnd ]; then say "$child"; else attnd_below "$child"; fi
  done
}

# Runs in a network namespace of its own, so that the image's own ports are free: the image's command, its health check
# until that passes, a request, SIGTERM.
run_container() {
  ip link set lo up
  local words
  mapfile -t words < <(config 'range .OCIv1.Config.Entrypoint}}{{println .}}{{end}}{{range .OCIv1.Config.Cmd}}{{println .}}{{end')
  in_container "${words[@]}" >"$work/attnd.log" 2>&1 </dev/null &
  server=$!  # Not local: the trap outlives this function.
  local attempt
  trap 'kill "$server" 2>/dev/null || true' EXIT
  for attempt in $(seq 60); do
    if in_container attnctl health --target 127.0.0.1:50051 >"$work/health.log" 2>&1; then break; fi
    kill -0 "$server" 2>/dev/null || { cat "$work/attnd.log"; fail "attnd ended in the container"; }
    [ "$attempt" -lt 60 ] || { cat "$work/attnd.log" "$work/health.log"; fail "the health check did not pass in a minute"; }
    sleep 1
  done
  touch "$work/started"
  in_container attnctl encode --target 127.0.0.1:50051 "The container answers." "So does the image."
  in_container attnctl models --target 127.0.0.1:50051
  kill -TERM "$(attnd_below "$server")"
  wait "$server" || fail "attnd did not end with 0 after SIGTERM"
  trap - EXIT
}

check_nothing_written() {
  local written
  written=$(find "$1" -xdev -newer "$work/started" -type f ! -path "$1/etc/*" ! -path "$1/run/*")
  [ -z "$written" ] || fail "the container wrote: $written"
  say "nothing was written: a read-only root will do"
}

main() {
  "$root_dir/scripts/install-deps.sh" image
  work=$(mktemp -d "${TMPDIR:-/var/tmp}/attnd-image.XXXXXX")
  trap clean_up EXIT
  cp -rL "$("$root_dir/scripts/get-model.sh")" "$work/model"
  chmod 755 "$work"
  must "base image" make_base
  must "build image" build_image
  check_configuration

  store from --name attnd-run localhost/attnd >/dev/null
  local mount
  mount=$(store mount attnd-run)
  check_sizes "$mount"
  must "run image" in_network run_container
  check_nothing_written "$mount"
  step_summary
}

# in_network FUNCTION: calls it in a network namespace that has nothing but a loopback.
in_network() { unshare --net bash "$0" --inside "$work" "$1"; }

if [ "${1:-}" = --inside ]; then
  work=$2
  "$3"
else
  main
fi
