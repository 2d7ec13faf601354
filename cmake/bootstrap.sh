# shellcheck shell=bash
# cmake/bootstrap.sh: what ./linea and ./test share: packages, configuring, building, and saying so while it happens.
#
# Sourced, after `root` (the checkout) and `program` (the name in messages) are set. Talks on stderr only; stdout and stdin belong to
# the program. Every step may be interrupted at any moment: the next call finds what is missing and goes on from there.

: "${root:?}" "${program:?}"
log='' # details go here; set by take_lock
if [[ -t 2 ]]; then on_terminal=true; else on_terminal=false; fi

say() { printf '%s: %s\n' "$program" "$*" >&2; }

die() {
  say "$*"
  exit 1
}

# --- Packages ---------------------------------------------------------------------------------------------------------------------

distribution() { (. /etc/os-release 2>/dev/null && printf '%s-%s' "${ID:-unknown}" "${VERSION_ID:-}") || printf unknown; }

# packages GROUP: names, one a line. Debian 12's, which are Ubuntu 24.04's too unless a case says otherwise.
packages() {
  local jpeg=libjpeg62-turbo-dev
  [[ $(distribution) == ubuntu-* ]] && jpeg=libjpeg-turbo8-dev
  case $1 in
    base) printf '%s\n' g++ cmake ninja-build pkg-config libdnnl-dev libpng-dev "$jpeg" libwebp-dev nlohmann-json3-dev libcli11-dev \
      libsentencepiece-dev libsqlite3-dev libedit-dev ;;
    studio) printf '%s\n' libimgui-dev libglfw3-dev libgl-dev libfreetype-dev ;;
    test) printf '%s\n' libgtest-dev libgmock-dev libbenchmark-dev xvfb libgl1-mesa-dri ;;
    check) printf '%s\n' clang-format-14 clang-tidy-14 ;;
  esac
}

# missing PACKAGE...: those that are not completely installed (an unpacked one whose set-up was interrupted is not).
missing() {
  comm -23 <(printf '%s\n' "$@" | sort -u) \
    <(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "$@" 2>/dev/null | sed -n 's/ installed$//p' | sort -u)
}

# ensure_packages GROUP...: installs what is missing of the groups. Where it cannot, says what is needed and lets CMake look.
ensure_packages() {
  local group names=() absent=()
  for group in "$@"; do mapfile -t -O "${#names[@]}" names < <(packages "$group"); done
  case $(distribution) in
    debian-12 | ubuntu-24.04) ;;
    *)
      say "this system is not Debian 12 or Ubuntu 24.04, so nothing is installed; the build needs, by their names there: ${names[*]}"
      return 0
      ;;
  esac
  mapfile -t absent < <(missing "${names[@]}")
  ((${#absent[@]})) || return 0
  local -a as_root=()
  if ((EUID != 0)); then
    if ! command -v sudo >/dev/null || ! { sudo -n true 2>/dev/null || { [[ -t 2 ]] && sudo -v; }; }; then
      say "cannot install without root; the build may fail until an administrator runs: apt-get install ${absent[*]}"
      return 0
    fi
    as_root=(sudo)
  fi
  say "installing ${absent[*]} (details in ${log#"$PWD"/})"
  local try
  for try in 1 2 3; do # another package manager may hold the lists, or the network may have hiccuped
    install_once && return 0
    ((try < 3)) && say 'installing did not work, trying again in 10 s' && sleep 10
  done
  fail 'could not install the packages'
}

# One attempt: finishes an interrupted installation, refreshes the lists, installs. Uses `absent` and `as_root` of its caller.
install_once() {
  local -a apt=("${as_root[@]}" env LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get -q -y
    -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold -o APT::Install-Recommends=false)
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive dpkg --configure -a >>"$log" 2>&1 9>&- </dev/null || true
  logged 'refreshing the package lists' "${apt[@]}" update 9>&- || say 'the lists could not all be refreshed, going on with what is there'
  logged 'installing packages' "${apt[@]}" install --fix-broken "${absent[@]}" 9>&-
}

# --- Building ---------------------------------------------------------------------------------------------------------------------

# choose_cuda: appends to `options` whether the CUDA backend is built. LINEA_CUDA = off | on | auto (on where an nvcc is found).
choose_cuda() {
  local wanted=${LINEA_CUDA:-off} nvcc
  if [[ $wanted != off ]]; then
    nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
    if [[ -x $nvcc ]]; then
      options+=(-DLINEA_CUDA=ON "-DCMAKE_CUDA_COMPILER=$nvcc")
      return
    fi
    [[ $wanted == auto ]] || die "LINEA_CUDA=$wanted, but there is no nvcc on PATH or in /usr/local/cuda/bin"
  fi
  options+=(-DLINEA_CUDA=OFF)
}

# Compilers at once: a core each, and about 1 GiB of memory each.
jobs() {
  local cores memory
  cores=$(nproc)
  memory=$(awk '/^MemAvailable/ { print int($2 / 1048576) }' /proc/meminfo)
  ((memory < 1)) && memory=1
  printf '%s' $((cores < memory ? cores : memory))
}

# build PRESET TARGET [CMAKE_OPTION...]
build() {
  local preset=$1 target=$2 folder=$root/build/$1
  shift 2
  # A copied or moved checkout brings a cache that points elsewhere.
  if [[ -f $folder/CMakeCache.txt ]] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$folder/CMakeCache.txt"; then
    say "build/$preset belongs to another folder, starting afresh"
    rm -rf "$folder"
  fi
  if ! logged "configuring build/$preset" configure "$preset" "$@"; then
    [[ -f $folder/CMakeCache.txt ]] || fail 'could not configure the build'
    logged "configuring build/$preset afresh" configure "$preset" --fresh "$@" || fail 'could not configure the build'
  fi
  logged "building build/$preset" env NINJA_STATUS='[%f/%t] ' ninja -C "$folder" -j "$(jobs)" "$target" || fail 'could not build'
}

configure() { (cd "$root" && cmake --preset "$@"); }

# --- Locks, logs and progress -----------------------------------------------------------------------------------------------------

# take_lock NAME: waits until no other launcher works on build/NAME, and starts its log. Open file 9 holds the lock.
take_lock() {
  mkdir -p "$root/build" 2>/dev/null || die "cannot write to $root/build"
  exec 9>"$root/build/$1.lock"
  if ! flock -n 9; then
    say "waiting for another call that builds build/$1"
    flock 9
  fi
  log=$root/build/$1.log
  : >"$log"
}

release_lock() { exec 9>&-; }

# logged WHAT COMMAND...: runs the command with its output in the log, and reports progress.
logged() {
  local what=$1
  shift
  printf '\n=== %s: %s\n' "$what" "$*" >>"$log"
  say "$what ..."
  "$@" </dev/null 2>&1 | follow "$what"
}

# fail WHAT: what failed, and the end of what the last step wrote to the log.
fail() {
  say "$1; the end of ${log#"$PWD"/} says:"
  awk '/^=== / { n = 0; next } { line[++n] = $0 } END { for (i = n > 25 ? n - 24 : 1; i <= n; ++i) print "  " substr(line[i], 1, 400) }' \
    "$log" >&2
  exit 1
}

# follow WHAT: copies lines to the log; says how far things are whenever there is news, but not more often than every 10 s (on a
# terminal: in place, and every second).
follow() {
  local what=$1 line='' part='' state='' total='' downloaded=0 unpacked=0 ready=0 start=$SECONDS last=$SECONDS status
  local every=10
  $on_terminal && every=1
  exec 3>>"$log"
  while true; do
    status=0
    IFS= read -r -t "$every" line || status=$?
    if ((status > 128)); then # no line within the time
      part+=$line
    elif ((status > 0)); then
      [[ -n $part$line ]] && printf '%s\n' "$part$line" >&3
      break
    else
      line=$part$line part=''
      printf '%s\n' "$line" >&3
      case $line in
        '['[0-9]*/[0-9]*']'*) state=${line%%]*} state="${state#[} steps" ;;
        *' newly installed, '*) total=${line#*, } total=${total%% newly*} ;;
        Get:*) state="downloaded $((++downloaded))${total:+ of $total}" ;;
        'Unpacking '*) state="unpacked $((++unpacked))${total:+ of $total}" ;;
        'Setting up '*) state="set up $((++ready))${total:+ of $total}" ;;
      esac
    fi
    if ((SECONDS - last >= every)); then
      last=$SECONDS
      if $on_terminal; then
        printf '\r\033[K%s: %s: %s (%d s)' "$program" "$what" "${state:-working}" $((SECONDS - start)) >&2
      else
        say "$what: ${state:-working} ($((SECONDS - start)) s)"
      fi
    fi
  done
  if $on_terminal && ((last > start)); then printf '\r\033[K' >&2; fi
}

trap 'say "stopped; the next call goes on from here"; exit 130' INT
