#!/usr/bin/env bash
# tests/packaging/bare_debian.sh FOLDER [--test]: does a fresh clone work on a machine with nothing but Debian 12's base system?
#
# Makes that machine as a chroot in FOLDER (created; its tree `machine` is replaced), puts the committed files into it, runs ./linea
# there, and prints how long each step took. With --test it also runs ./test. Needs root and debootstrap; the package mirror, its
# keys and the proxy are this machine's own.
set -euo pipefail

checkout=$(git -C "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" rev-parse --show-toplevel)
release=bookworm

say() { printf 'bare_debian: %s\n' "$*" >&2; }

die() {
  say "$*"
  exit 1
}

mirror() {
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(SITE)' 'Created-By: Packages' "Codename: $release" 'Component: main' | head -n 1
}

make_machine() {
  local machine=$1 file
  rm -rf --one-file-system "$machine"
  mkdir -p "$machine"
  debootstrap --variant=minbase "$release" "$machine" "$(mirror)" >"$machine.log" 2>&1 || {
    tail -n 20 "$machine.log" >&2
    die 'debootstrap failed'
  }
  rm -f "$machine"/etc/apt/sources.list "$machine"/etc/apt/sources.list.d/*
  while IFS= read -r file; do cp -p --parents "$file" "$machine"; done < <(
    grep -rlE '/debian(-security)?/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null
    grep -rlE '^ *(#clear +)?Acquire' /etc/apt/apt.conf.d /etc/apt/apt.conf 2>/dev/null
    find /etc/apt/auth.conf /etc/apt/auth.conf.d /etc/apt/keyrings /etc/apt/trusted.gpg.d -type f 2>/dev/null
  )
  if grep -rqE 'https://' "$machine/etc/apt/sources.list.d" 2>/dev/null; then
    install -D /etc/ssl/certs/ca-certificates.crt "$machine/etc/ssl/certs/ca-certificates.crt"
  fi
  cp -L /etc/resolv.conf /etc/hosts "$machine/etc/"
}

# inside MACHINE COMMAND...: runs it there as root, in a bare environment, in the checkout; its mounts end with it.
inside() {
  local machine=$1 name
  local -a environment=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb)
  shift
  for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    [[ -n ${!name:-} ]] && environment+=("$name=${!name}")
  done
  # shellcheck disable=SC2016
  unshare --mount --pid --fork --kill-child sh -c '
    machine=$1; shift
    mount -t proc proc "$machine/proc"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$machine/dev/pts"
    exec env -i "$@"' sh "$machine" "${environment[@]}" chroot "$machine" sh -c 'cd /root/linea; exec "$@"' sh "$@" </dev/null
}

# lap WHAT: how long it took since the last lap.
lap() {
  local now
  now=$(date +%s%N)
  printf '%-40s %8.2f s\n' "$1" "$(((now - began) / 10000000))e-2"
  began=$now
}

check_picture() { [[ $(head -c 8 "$1" | od -An -tx1 | tr -d ' \n') == 89504e470d0a1a0a ]] || die "$1 is not a PNG file"; }

main() {
  [[ $# -ge 1 && $# -le 2 && ${2:---test} == --test ]] || die 'usage: bare_debian.sh FOLDER [--test]'
  ((EUID == 0)) || die 'must run as root'
  command -v debootstrap >/dev/null || die 'needs debootstrap (apt-get install debootstrap)'
  mkdir -p "$1"
  local machine
  machine=$(readlink -f "$1")/machine
  began=$(date +%s%N)
  make_machine "$machine"
  mkdir -p "$machine/root/linea"
  git -C "$checkout" archive HEAD | tar -x -C "$machine/root/linea"
  lap 'made the machine'
  inside "$machine" ./linea --version
  lap './linea --version (installs, builds)'
  inside "$machine" ./linea --version
  lap './linea --version (again)'
  inside "$machine" ./linea generate 'a red apple' -o /root/apple.png
  check_picture "$machine/root/apple.png"
  lap './linea generate'
  if [[ ${2:-} == --test ]]; then
    inside "$machine" ./test
    lap './test'
  fi
}

main "$@"
