#!/usr/bin/env bash
# cmake/tidy.sh BUILD_FOLDER [JOBS]: runs clang-tidy over the sources of a build, those that changed since they last passed.
#
# Most of its time goes to the headers of libraries, so sources of one folder that are compiled alike are read as one: the first, with
# the others included before it. Those that use a name that another has taken are then read apart.
#
# A source has passed when a file named by the hash of all that the verdict depends on (source, project headers that it includes,
# compile command, .clang-tidy, clang-tidy itself) is in build/tidy. The headers of each object are those that ninja recorded.
set -euo pipefail

root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
build=$(readlink -f "$1")
workers=${2:-2}
most_together=24
passed=$root/build/tidy
tidy=$(command -v clang-tidy-14 || command -v clang-tidy)

# The compile commands as lines "SOURCE<TAB>COMMAND", one a source (it may be compiled more than once: the first way speaks for all);
# of the sources that a file of CMake's joins, each by itself.
sources() {
  awk -v build="$build/" '
    function value(line) { sub(/^[^:]*: "/, "", line); sub(/",?$/, "", line); return line }
    function emit(source, command) { if (!(source in seen)) print source "\t" command; seen[source] = 1 }
    /^ *"command": / { command = value($0) }
    /^ *"file": / {
      file = value($0)
      if (file ~ /\/Unity\/unity_[0-9]+_cxx\.cxx$/) {
        while ((getline line < file) > 0) if (sub(/^#include "/, "", line)) { sub(/"$/, "", line); emit(line, command) }
        close(file)
      } else if (index(file, build) != 1) emit(file, command)
    }' "$build/compile_commands.json"
}

# One line a source: path, then everything its verdict depends on, with file contents as hashes.
inputs() {
  local hashes=$1
  awk -v root="$root/" '
    FILENAME == ARGV[1] { hash[$2] = $1; next }
    FILENAME == ARGV[2] {                                                 # ninja -t deps
      if ($0 !~ /^ /) { object = $1; sub(/:$/, "", object); next }
      file = $1; sub(/^\.\.\/\.\.\//, root, file)
      if (file in hash) depends[object] = depends[object] " " hash[file]
      next
    }
    {
      file = object = $0
      sub(/\t.*/, "", file)
      sub(/.* -o /, "", object); sub(/ .*/, "", object)
      print $0 "\t" hash[file] depends[object]
    }' "$hashes" <(ninja -C "$build" -t deps 2>/dev/null) <(sources)
}

# A compilation database of the sources, for clang-tidy, which reads no headers that GCC has compiled.
database() {
  sources | awk -F '\t' -v build="$build" '
    BEGIN { print "[" }
    {
      sub(/ -c [^ ]*$/, " -c " $1, $2)
      gsub(/ (-Winvalid-pch|-fpch-preprocess|-include [^ ]*cmake_pch.hxx)/, "", $2)
      printf "%s{\"directory\": \"%s\", \"command\": \"%s\", \"file\": \"%s\"}", separator, build, $2, $1
      separator = ",\n"
    }
    END { print "\n]" }'
}

# check "SOURCE<TAB>KEY"...: sources as one, quiet when they pass. What clang cannot read (it is older than the C++20 that GCC
# compiles) is no finding.
check() {
  local output note='' others=() source
  for source in "${@:2}"; do others+=(--extra-arg=-include "--extra-arg=${source%$'\t'*}"); done
  output=$("$tidy" -p "$commands" --quiet --extra-arg=-Wno-everything --extra-arg=-idirafter"$gcc_headers" "${others[@]}" \
    "${1%$'\t'*}" 2>&1 | own_findings) || true
  if [[ $output == *'[clang-diagnostic-error]'* ]]; then
    if (($# > 1)); then
      check_apart "$output" "$@"
      return
    fi
    note=' (in part: clang cannot read all of it)'
  fi
  if [[ $output == *,-warnings-as-errors]* ]]; then
    printf '%s\n' "$output" | grep -vE '^([0-9]+ (warning|error)|Suppressed|Use -header-filter)'
    verdicts FAILED '' "$@"
  elif [[ $output == *error:* && -z $note ]]; then # it did not run, or crashed
    printf '%s\n' "$output"
    verdicts FAILED '' "$@"
  else
    for source in "$@"; do : >"$passed/${source#*$'\t'}"; done
    verdicts ok "$note" "$@"
  fi
}

# check_apart OUTPUT SOURCE...: those in which clang found errors, and the others; when that tells little, each half.
check_apart() {
  local source wrong=() right=()
  for source in "${@:2}"; do
    if grep -qF "${source%$'\t'*}:" < <(grep -F '[clang-diagnostic-error]' <<<"$1"); then wrong+=("$source"); else right+=("$source"); fi
  done
  if ((${#wrong[@]} == 0 || ${#wrong[@]} > ${#right[@]})); then
    wrong=("${@:2:$# / 2}") right=("${@:$# / 2 + 2}")
  fi
  check "${right[@]}"
  check "${wrong[@]}"
}

# Without the remarks on including sources, at no place in any file, that reading them as one causes.
own_findings() { awk '/^error: suspicious #include/ { skipping = 1; next } !(skipping && /^note: /) { skipping = 0; print }'; }

# verdicts WORD NOTE SOURCE...
verdicts() {
  local source
  for source in "${@:3}"; do
    source=${source%$'\t'*}
    printf '%s %s%s\n' "$1" "${source#"$root"/}" "$2"
  done
}

# groups COUNT: of lines "KIND<TAB>SOURCE<TAB>KEY" those of a kind, several groups for each worker; fuzz programs, all of which define one
# function, by themselves.
groups() {
  awk -F '\t' -v most="$(($1 / (3 * workers)))" -v limit="$most_together" '
    BEGIN { if (most > limit) most = limit }
    { together = $1 ~ /\/tests\/fuzz / ? 1 : most }
    NR > 1 { printf "%s", $1 == kind && members < together ? "\n" : "\0" }
    $1 != kind || members >= together { kind = $1; members = 0 }
    { printf "%s\t%s", $2, $3; ++members }'
}

# One group: a source a line.
check_group() {
  local sources
  mapfile -t sources <<<"$1"
  check "${sources[@]}"
}

main() {
  local configuration hashes todo count=0 source command rest key
  gcc_headers=$(g++ -print-file-name=include) # for omp.h
  commands=$passed/commands
  mkdir -p "$commands"
  database >"$commands/compile_commands.json"
  export root commands passed tidy gcc_headers
  export -f check check_apart check_group own_findings verdicts
  configuration=$("$tidy" --version | sha256sum; cat "$root/.clang-tidy" "$root/tests/.clang-tidy" "${BASH_SOURCE[0]}" | sha256sum)
  hashes=$(mktemp) todo=$(mktemp)
  # shellcheck disable=SC2064
  trap "rm -f '$hashes' '$todo'" EXIT
  find "$root" -path "$root/build" -prune -o -path "$root/.git" -prune -o \( -name '*.h' -o -name '*.cpp' -o -name '*.inc' \) -type f \
    -print0 | xargs -0 sha256sum >"$hashes"
  while IFS=$'\t' read -r source command rest; do
    key=$(printf '%s\n' "$configuration" "$source" "$command" "$rest" | sha256sum)
    key=${key%% *}
    if [[ -e $passed/$key ]]; then
      touch "$passed/$key"
      continue
    fi
    printf '%s\t%s\t%s\n' "${source%/*} ${command%% -o *}" "$source" "$key" >>"$todo" # all before the names of the object and the source
    count=$((count + 1))
  done < <(inputs "$hashes")
  find "$passed" -maxdepth 1 -type f -mtime +30 -delete
  printf 'clang-tidy: %d sources to check\n' "$count"
  ((count == 0)) || groups "$count" <"$todo" | xargs -0 -n 1 -P "$workers" bash -c 'check_group "$1"' check | number "$count"
}

# Numbers the verdicts as ninja does its steps; non-zero when one failed.
number() {
  local line count=0 status=0
  while IFS= read -r line; do
    case $line in
      'ok '*) line="[$((++count))/$1] $line" ;;
      'FAILED '*) line="[$((++count))/$1] $line" status=1 ;;
    esac
    printf '%s\n' "$line"
  done
  return "$status"
}

main
