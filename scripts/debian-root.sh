# A bare Debian root in a folder, with this machine's package sources and certificates: sourced by the checks that need
# another Debian than the one they run on. Needs root and `scripts/install-deps.sh root`.

# The mirror that this machine's apt uses.
debian_mirror() {
  local mirror
  mirror=$(cat /etc/apt/sources.list.d/*.sources 2>/dev/null | awk '$1 == "URIs:" && $2 ~ /debian/ { print $2; exit }')
  [ -n "$mirror" ] || mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
    awk '$1 == "deb" { for (i = 2; i <= NF; ++i) if ($i ~ /^https?:.*debian/) { print $i; exit } }')
  [ -n "$mirror" ] || fail "this machine's apt sources name no Debian mirror"
  say "$mirror"
}

# make_debian_root DIR SUITE: what a package manager needs to reach its sources is copied from this machine.
make_debian_root() {
  local root=$1 suite=$2 mirror file
  [ "$(id -u)" -eq 0 ] || fail "debootstrap needs root"
  mirror=$(debian_mirror) || return
  quietly "debootstrap $suite" debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror"
  rm -f "$root"/var/cache/apt/archives/*.deb
  cp -r /etc/apt/apt.conf.d/. "$root/etc/apt/apt.conf.d/"
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  for file in .cargo/config.toml .config/pip/pip.conf; do
    if [ -f "${HOME:-/root}/$file" ]; then install -D "${HOME:-/root}/$file" "$root/root/$file"; fi
  done
  if [ -f /etc/pip.conf ]; then cp /etc/pip.conf "$root/etc/pip.conf"; fi
}

# copy_sources DIR: the working tree, without what git ignores. What an earlier copy had besides is removed, but for its
# build; files are as new as the copy, since a build looks at times and a file may have become an older one.
copy_sources() {
  mkdir -p "$1"
  find "$1" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
  (cd "$root_dir" && git ls-files -z --cached --others --exclude-standard | tar --null -T - -cf - --ignore-failed-read) |
    tar -xmf - -C "$1"
}

# in_root DIR COMMAND...: a clean environment; only a proxy passes.
in_root() {
  local root=$1
  shift
  env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
    ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
    ${no_proxy:+no_proxy="$no_proxy"} chroot "$root" "$@"
}
