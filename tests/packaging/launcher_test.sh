#!/usr/bin/env bash
# tests/packaging/launcher_test.sh: what ./linea does around the program, with stand-ins for cmake, ninja and the package tools.
#
# Each case gets a checkout that holds the launcher and one source file. The stand-ins write each call to `calls`; ninja's "builds" a
# program that prints its arguments and its input.
set -euo pipefail

checkout=$(dirname "$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
name='' failures=0

# shellcheck disable=SC2016 # the text is the stand-in's
stand_in() { # stand_in NAME BODY
  printf '#!/usr/bin/env bash\necho "%s $*" >>"$CALLS"\n%s\n' "$1" "$2" >"$scratch/bin/$1"
  chmod +x "$scratch/bin/$1"
}

# shellcheck disable=SC2016
make_stand_ins() {
  mkdir -p "$scratch/bin"
  stand_in cmake '[[ -e $STATE/configure-fails && $* != *--fresh* ]] && exit 1
    mkdir -p build/release; echo "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" >build/release/CMakeCache.txt'
  stand_in ninja 'cat >/dev/null
    [[ -e $STATE/build-fails ]] && { echo "error: no such thing"; exit 1; }
    [[ -e $STATE/build-slow ]] && command -p sleep 0.5
    mkdir -p "$2/bin"; printf "#!/bin/sh\nprintf \"[%%s]\" \"\$@\"\ncat\nexit 7\n" >"$2/bin/linea"; chmod +x "$2/bin/linea"'
  stand_in dpkg-query 'shift 2; for package; do
      [[ -e $STATE/lacks-$package && ! -e $STATE/installed ]] || echo "$package installed"; done'
  stand_in apt-get '[[ $* == *update* ]] && exit; [[ -e $STATE/install-fails ]] && exit 100; touch "$STATE/installed"'
  stand_in dpkg ''
  stand_in sudo 'while [[ $1 == -* ]]; do shift; done; exec "$@"'
  stand_in sleep ''
}

# fresh NAME: begins a case, in a new checkout.
fresh() {
  name=$1
  folder=$scratch/$name
  mkdir -p "$folder/cmake" "$folder/core" "$folder/app/studio" "$folder/state"
  cp "$checkout/linea" "$folder/"
  cp "$checkout/cmake/bootstrap.sh" "$folder/cmake/"
  touch "$folder/CMakeLists.txt" "$folder/CMakePresets.json" "$folder/core/a.cpp"
  : >"$folder/calls"
}

launch() { # launch ARGUMENTS...: output, errors and status go to variables
  status=0
  output=$(cd / && env PATH="$scratch/bin:$PATH" CALLS="$folder/calls" STATE="$folder/state" LINEA_CUDA=off \
    "$folder/linea" "$@" 2>"$folder/errors" <<<'typed') || status=$?
}

expect() { # expect WHAT CONDITION...
  local what=$1
  shift
  "$@" && return
  failures=$((failures + 1))
  printf 'FAILED %s: %s\n  status %s, output: %s\n  errors: %s\n  calls: %s\n' "$name" "$what" "$status" "$output" \
    "$(<"$folder/errors")" "$(<"$folder/calls")"
}

called() { grep -q -- "$1" "$folder/calls"; }
not_called() { ! called "$1"; }
said() { grep -q -- "$1" "$folder/errors"; }
equal() { [[ $1 == "$2" ]]; }
calls_of() { grep -c "^$1 " "$folder/calls" || true; }

make_stand_ins
apt_system=false
case $(. /etc/os-release && echo "${ID:-}-${VERSION_ID:-}") in debian-12 | ubuntu-24.04) apt_system=true ;; esac

fresh first_call
launch generate 'a red apple' -o x.png
expect 'arguments and input reach the program' equal "$output" '[generate][a red apple][-o][x.png]typed'
expect 'the status is the program'"'"'s' equal "$status" 7
expect 'says that it builds' said 'building build/release'
expect 'installs nothing that is there' not_called 'apt-get'

name=second_call
: >"$folder/calls"
launch generate
expect 'runs at once' equal "$(<"$folder/calls")" ''
expect 'says nothing' equal "$(<"$folder/errors")" ''

name=changed_source
touch "$folder/core/a.cpp"
launch generate
expect 'builds again' called '^ninja'

name=new_file
: >"$folder/calls"
touch -r "$folder/build/release.stamp" -d '-1 hour' "$folder/core/a.cpp"
mv "$folder/core/a.cpp" "$folder/core/b.cpp"
launch generate
expect 'a file that was renamed is noticed' called '^ninja'

name=studio
: >"$folder/calls"
launch studio
expect 'the desktop app is configured' called '^cmake --preset release .*-DLINEA_STUDIO=ON'
expect 'its packages are looked for' called '^dpkg-query .*libglfw3-dev'
: >"$folder/calls"
launch generate
expect 'the rest does not build for it' equal "$(<"$folder/calls")" ''

name=moved_checkout
mv "$folder" "$scratch/moved" && folder=$scratch/moved
launch generate
expect 'starts afresh' said 'belongs to another folder'
expect 'and runs' equal "$status" 7

fresh failing_build
touch "$folder/state/build-fails"
launch generate
expect 'fails' equal "$status" 1
expect 'one clear line' said '^linea: could not build; the end of'
expect 'the end of the log' said 'error: no such thing'
expect 'nothing on stdout' equal "$output" ''
rm "$folder/state/build-fails"
launch generate
expect 'the next call goes on' equal "$status" 7

fresh broken_cache
mkdir -p "$folder/build/release"
echo "CMAKE_HOME_DIRECTORY:INTERNAL=$folder" >"$folder/build/release/CMakeCache.txt"
touch "$folder/state/configure-fails"
launch generate
expect 'configures afresh' equal "$status" 7

fresh two_at_once
touch "$folder/state/build-slow"
(launch first) &
launch second
wait
expect 'only one builds' equal "$(calls_of ninja)" 1
expect 'both run' equal "$output" '[second]typed'

if $apt_system; then
  fresh missing_package
  touch "$folder/state/lacks-libdnnl-dev"
  launch generate
  expect 'refreshes the lists' called '^apt-get .*update'
  expect 'installs what is missing, and no more' called '^apt-get .*install --fix-broken libdnnl-dev$'
  expect 'without recommendations' called '^apt-get .*APT::Install-Recommends=false'
  expect 'names it' said 'installing libdnnl-dev'
  expect 'and runs' equal "$status" 7

  fresh failing_installation
  touch "$folder/state/lacks-libdnnl-dev" "$folder/state/install-fails"
  launch generate
  expect 'fails after three attempts' equal "$status-$(grep -c ' install ' "$folder/calls")" 1-3
  expect 'one clear line' said '^linea: could not install the packages; the end of'
fi

if ((failures)); then exit 1; fi
echo 'all launcher cases passed'
