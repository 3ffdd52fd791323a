#!/usr/bin/env bash
# Runs tests on an emulated CPU with AVX-512, VNNI and BF16 (Sapphire Rapids without AMX), on a machine that has none.
#
#   scripts/check-avx512.sh [ROOT [REGEX]]      as root
#
# Bochs 3.0 (Debian 13's) boots Debian's kernel with the tests of this machine's release build as its whole root. It
# executes every instruction as the manuals say, about a hundred times slower than a CPU: whether answers are right can be
# told there, speed can't. ROOT (default: a temporary folder, removed at the end) holds the Debian 13 root that Bochs
# lives in; one that exists is used again. REGEX chooses ctest's tests (default: those whose answers depend on the CPU, but
# for golden/precision and families_invariance, which take hours).
# EMULATED_COMPARISONS (default 300) is for batch invariance; EMULATED_SECONDS_MAX (default 6600) bounds the emulated
# machine; EMULATED_KEEP=1 leaves its files and logs in ROOT/tmp; GTEST_FILTER (default: not the large models of batch
# invariance) is passed on. 4 GB of memory, 2 GB of disk.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/debian-root.sh"

root=
regex=${2:-'^layers/(bf16|int8)_linear|^model/int8|^hot_path|^golden/repo|^invariance/native|^served/verb.*native'}
comparisons=${EMULATED_COMPARISONS:-300}
# The models of real size take hours in batch invariance.
filter=${GTEST_FILTER:--*InvarianceTest*MiniLm*:*InvarianceTest*BertBase*}
seconds_max=${EMULATED_SECONDS_MAX:-6600}
temporary=
work=
machine=

clean_up() {
  if [ -n "$machine" ]; then
    kill "$machine" 2>/dev/null || true
    wait "$machine" 2>/dev/null || true
  fi
  if [ -n "$work" ] && [ -z "${EMULATED_KEEP:-}" ]; then rm -rf "$work"; fi
  if [ -n "$temporary" ] && [ -z "${EMULATED_KEEP:-}" ]; then rm -rf "$temporary"; fi
}

# The emulator, a boot loader and a kernel.
install_emulator() {
  quietly "apt-get update" in_root "$root" apt-get -q update
  quietly "installing Bochs" in_root "$root" env DEBIAN_FRONTEND=noninteractive apt-get -q install -y \
    --no-install-recommends bochs bochsbios vgabios busybox-static cpio grub-common grub-pc-bin mtools xorriso
  if ! ls "$root"/opt/kernel/boot/vmlinuz-* >/dev/null 2>&1; then
    local kernel
    kernel=$(in_root "$root" apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
    quietly "getting the kernel '$kernel'" in_root "$root" sh -c "cd /opt && apt-get -q download '$kernel' &&
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
export HOME=/root PATH=/bin ATTND_MODEL='$ATTND_MODEL' ATTND_GOLDEN_DIR='$ATTND_GOLDEN_DIR'
export ATTND_COMPARISONS=$comparisons ATTND_EXPECT_BF16=1 GTEST_FILTER='$filter'
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
  cp "$(find "$root/usr/bin" -name busybox -type f | head -n 1)" "$work/files/bin/busybox"
  write_init
  python3 scripts/emulated_tests.py build/release "$regex" "$work/files" \
    tests "$ATTND_MODEL" ${ATTND_GOLDEN_DIR:+"$ATTND_GOLDEN_DIR"}
  local inside=${work#"$root"}
  in_root "$root" sh -c "cd '$inside/files' && find . | cpio --quiet -o -H newc >../image/boot/files"
  cp "$root"/opt/kernel/boot/vmlinuz-* "$work/image/boot/vmlinuz"
  # Without `panic=` a kernel that panics stays as it is, until the time is over.
  cat >"$work/image/boot/grub/grub.cfg" <<'EOF'
serial --unit=0 --speed=115200
terminal_output serial
linux /boot/vmlinuz console=ttyS0,115200 rdinit=/init mitigations=off quiet
initrd /boot/files
boot
EOF
  quietly "making the image" in_root "$root" grub-mkrescue -o "$inside/image.iso" "$inside/image"
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
  local inside=${work#"$root"}
  write_settings "$inside"
  : >"$work/serial.log"
  timeout --kill-after=10 "$seconds_max" unshare -n chroot "$root" bochs -q -unlock -f "$inside/bochsrc" \
    >"$work/bochs.out" 2>&1 </dev/null &
  machine=$!
  tail -n +1 -f --pid="$machine" "$work/serial.log" | sed -u -n '/^model name/,$ { s/\r//; p }' || true
  wait "$machine" || true
  machine=
}

main() {
  [ -z "${1:-}" ] || root=$(realpath -m "$1")
  cd "$root_dir"
  scripts/install-deps.sh build test bench root
  trap clean_up EXIT
  trap 'exit 130' INT TERM
  if [ -z "$root" ]; then
    temporary=$(mktemp -d "${TMPDIR:-/var/tmp}/attnd-avx512.XXXXXX")
    root=$temporary
  fi
  [ -x "$root/usr/bin/apt-get" ] || make_debian_root "$root" trixie
  ATTND_MODEL=$(realpath "$(scripts/get-model.sh)")
  ATTND_GOLDEN_DIR=$(find_golden)
  [ -z "$ATTND_GOLDEN_DIR" ] || ATTND_GOLDEN_DIR=$(realpath "$ATTND_GOLDEN_DIR")
  build_with_tests
  install_emulator
  work=$(mktemp -d "$root/tmp/emulated.XXXXXX")
  make_image
  boot
  tr -d '\r' <"$work/serial.log" >"$work/log"
  if ! grep -q '^END-OF-TESTS' "$work/log"; then
    tail -n 20 "$work/log" "$work/bochs.out"
    fail "the emulated machine did not come to its end"
  fi
  grep -qE '^[1-9][0-9]* passed, 0 failed, [0-9]* skipped$' "$work/log" || fail "tests failed on the emulated CPU"
}

main "$@"
