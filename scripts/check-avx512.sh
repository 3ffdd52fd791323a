#!/usr/bin/env bash
# Runs tests on an emulated CPU with AVX-512, VNNI and BF16 (Sapphire Rapids without AMX), on a machine that has none.
#
#   scripts/check-avx512.sh [ROOT [REGEX]]      as root
#
# Bochs 3.0 (Debian 13's) boots Debian's kernel with the tests of this machine's release build as its whole root. It
# executes every instruction as the manuals say, about a hundred times slower than a CPU: whether answers are right can be
# told there, speed can't. ROOT (default: a temporary folder, removed at the end) holds the Debian 13 root that Bochs
# lives in; one that exists is used again. REGEX chooses ctest's tests (default: all whose answers depend on the CPU).
# COMPARISONS (default 500) is for batch invariance; GTEST_FILTER is passed on. Needs 4 GB of memory and 2 GB of disk.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/debian-root.sh"

root=${1:-}
regex=${2:-'^(tensor|layers|model|hot_path|golden|invariance|families_invariance|served|outputs)/'}
comparisons=${COMPARISONS:-500}
boot_seconds_max=${BOOT_SECONDS_MAX:-7000}
temporary=
work=

clean_up() {
  if [ -n "$work" ] && [ -z "${KEEP_EMULATED:-}" ]; then rm -rf "$work"; fi
  if [ -n "$temporary" ]; then rm -rf "$temporary"; fi
}

# The emulator, a boot loader and a kernel.
install_emulator() {
  local kernel
  in_root "$root" apt-get -q update >/dev/null
  in_root "$root" apt-get -q install -y --no-install-recommends \
    bochs bochsbios vgabios busybox-static cpio grub-common grub-pc-bin mtools xorriso >/dev/null 2>&1
  if ! ls "$root"/opt/kernel/boot/vmlinuz-* >/dev/null 2>&1; then
    kernel=$(in_root "$root" apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
    in_root "$root" sh -c "cd /opt && apt-get -q download '$kernel' >/dev/null 2>&1 &&
      dpkg-deb -x linux-image-*.deb kernel && rm linux-image-*.deb"
  fi
}

# What the emulated machine runs first: it has nothing but memory and a serial line.
write_init() {
  cat >"$work/files/init" <<EOF
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/shm /tmp; mount -t tmpfs shm /dev/shm
ip link set lo up
export HOME=/root PATH=/bin ATTND_MODEL='$ATTND_MODEL' ATTND_GOLDEN_DIR='$ATTND_GOLDEN_DIR' ATTND_COMPARISONS=$comparisons
export GTEST_FILTER='${GTEST_FILTER:-*}'
grep -m1 'model name' /proc/cpuinfo
echo "has: \$(grep -m1 ^flags /proc/cpuinfo | tr ' ' '\n' | grep -E '^(avx|amx)' | sort | tr '\n' ' ')"
sh /run-tests
echo END-OF-TESTS
poweroff -f
EOF
  chmod +x "$work/files/init"
}

# Everything is one image in memory: the kernel's modules for disks are not needed.
make_image() {
  mkdir -p "$work"/files/{bin,dev,proc,sys,tmp,root} "$work/image/boot/grub"
  cp "$(find "$root/usr/bin" "$root/bin" -name busybox -type f | head -n 1)" "$work/files/bin/busybox"
  write_init
  python3 scripts/emulated_tests.py build/release "$regex" "$work/files" \
    tests "$ATTND_MODEL" ${ATTND_GOLDEN_DIR:+"$ATTND_GOLDEN_DIR"}
  local inside=${work#"$root"}
  in_root "$root" sh -c "cd '$inside/files' && find . | cpio --quiet -o -H newc >../image/boot/files"
  cp "$root"/opt/kernel/boot/vmlinuz-* "$work/image/boot/vmlinuz"
  cat >"$work/image/boot/grub/grub.cfg" <<'EOF'
serial --unit=0 --speed=115200
terminal_output serial
linux /boot/vmlinuz console=ttyS0,115200 rdinit=/init panic=-1 mitigations=off quiet
initrd /boot/files
boot
EOF
  in_root "$root" grub-mkrescue -o "$inside/image.iso" "$inside/image" >/dev/null 2>&1
}

# AMX is left out because Linux wants XFD with it, which Bochs lacks; 57-bit addresses because Linux trips over them.
write_settings() {
  cat >"$work/bochsrc" <<EOF
plugin_ctrl: unmapped=1, speaker=0, e1000=0, es1370=0, ne2k=0, sb16=0, usb_uhci=0, gameport=0, voodoo=0, parallel=0
config_interface: textconfig
display_library: rfb, options="timeout=0"
memory: guest=3072, host=2048
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
cpu: model=sapphire_rapids, exclude_features="amx,amx_int8,amx_bf16,la57"
cpu: count=1, ips=100000000, reset_on_triple_fault=0, ignore_bad_msrs=1
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=$1/image.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$1/serial.log
clock: sync=none, time0=utc
log: $1/bochs.log
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
EOF
}

# Its display would listen on a port: in a network of its own nobody can reach it. Power-off ends Bochs as a panic.
boot() {
  local inside=${work#"$root"} machine
  write_settings "$inside"
  : >"$work/serial.log"
  timeout "$boot_seconds_max" unshare -n chroot "$root" bochs -q -unlock -f "$inside/bochsrc" \
    >"$work/bochs.out" 2>&1 </dev/null &
  machine=$!
  tail -n +1 -f --pid="$machine" "$work/serial.log" | sed -u -n '/^model name/,$ { s/\r//; p }'
  wait "$machine" || true
}

main() {
  cd "$root_dir"
  "$root_dir/scripts/install-deps.sh" build test bench root
  trap clean_up EXIT
  if [ -z "$root" ]; then
    temporary=$(mktemp -d "${TMPDIR:-/var/tmp}/attnd-avx512.XXXXXX")
    root=$temporary
  fi
  [ -x "$root/usr/bin/apt-get" ] || make_debian_root "$root" trixie
  ATTND_MODEL=$(scripts/get-model.sh)
  ATTND_GOLDEN_DIR=$(find_golden)
  build_with_tests
  install_emulator
  work=$(mktemp -d "$root/tmp/emulated.XXXXXX")
  make_image
  boot
  tr -d '\r' <"$work/serial.log" >"$work/log"
  grep -q '^END-OF-TESTS' "$work/log" ||
    { tail -n 20 "$work/log" "$work/bochs.out"; fail "the emulated machine did not come to its end"; }
  grep -qE '^[1-9][0-9]* passed, 0 failed$' "$work/log" || fail "tests failed on the emulated CPU"
  grep -q 'avx512_bf16' "$work/log" || fail "the emulated CPU has no AVX-512 BF16"
}

main
