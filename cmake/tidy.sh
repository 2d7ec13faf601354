#!/usr/bin/env bash
# cmake/tidy.sh BUILD_FOLDER [JOBS]: runs clang-tidy over the sources of a build, those that changed since they last passed.
#
# A source has passed when a file named by the hash of all that the verdict depends on (source, project headers that it includes,
# compile command, .clang-tidy, clang-tidy itself) is in build/tidy. The headers of each object are those that ninja recorded.
set -euo pipefail

root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
build=$(readlink -f "$1")
workers=${2:-2}
passed=$root/build/tidy
tidy=$(command -v clang-tidy-14 || command -v clang-tidy)

# One line a source: path, then everything its verdict depends on, with file contents as hashes.
inputs() {
  local hashes=$1
  awk -v root="$root/" -v build="$build/" '
    function value(line) { sub(/^[^:]*: "/, "", line); sub(/",?$/, "", line); return line }
    FILENAME == ARGV[1] { hash[$2] = $1; next }
    FILENAME == ARGV[2] {                                                 # ninja -t deps
      if ($0 !~ /^ /) { object = $1; sub(/:$/, "", object); next }
      file = $1; sub(/^\.\.\/\.\.\//, root, file)
      if (file in hash) depends[object] = depends[object] " " hash[file]
      next
    }
    /^ *"command": / { command = value($0) }
    /^ *"file": / {
      file = value($0)
      if (file in seen) next                                              # compiled more than once: the first way speaks for all
      seen[file] = 1
      object = command; sub(/.* -o /, "", object); sub(/ .*/, "", object)
      if (index(file, build) != 1) print file "\t" command "\t" hash[file] depends[object]
    }' "$hashes" <(ninja -C "$build" -t deps 2>/dev/null) "$build/compile_commands.json"
}

# The compile commands, one a source: clang-tidy would run over a source as often as it is compiled.
database() {
  awk '
    BEGIN { print "[" }
    /^{/ { entry = ""; repeated = 0 }
    { entry = entry $0 "\n" }
    /^ *"file": / { repeated = ($0 in seen); seen[$0] = 1 }
    /^}/ && !repeated { sub(/},?\n$/, "}", entry); printf "%s%s", separator, entry; separator = ",\n" }
    END { print "\n]" }' "$build/compile_commands.json"
}

# One source: quiet when it passes. What clang cannot read (it is older than the C++20 that GCC compiles) is no finding.
check() {
  local source=$1 key=$2 output note=''
  output=$("$tidy" -p "$commands" --quiet --extra-arg=-Wno-everything --extra-arg=-idirafter"$gcc_headers" "$source" 2>&1) || true
  [[ $output != *'[clang-diagnostic-error]'* ]] || note=' (in part: clang cannot read all of it)'
  if [[ $output == *,-warnings-as-errors]* ]]; then
    printf '%s\n' "$output" | grep -vE '^([0-9]+ (warning|error)|Suppressed|Use -header-filter)'
    printf 'FAILED %s\n' "${source#"$root"/}"
  elif [[ $output == *error:* && -z $note ]]; then # it did not run, or crashed
    printf '%s\nFAILED %s\n' "$output" "${source#"$root"/}"
  else
    : >"$passed/$key"
    printf 'ok %s%s\n' "${source#"$root"/}" "$note"
  fi
}

main() {
  local configuration hashes todo count=0 source rest key
  gcc_headers=$(g++ -print-file-name=include) # for omp.h
  commands=$passed/commands
  mkdir -p "$commands"
  database >"$commands/compile_commands.json"
  export root commands passed tidy gcc_headers
  export -f check
  configuration=$("$tidy" --version | sha256sum; cat "$root/.clang-tidy" "$root/tests/.clang-tidy" "${BASH_SOURCE[0]}" | sha256sum)
  hashes=$(mktemp) todo=$(mktemp)
  # shellcheck disable=SC2064
  trap "rm -f '$hashes' '$todo'" EXIT
  find "$root" -path "$root/build" -prune -o -path "$root/.git" -prune -o \( -name '*.h' -o -name '*.cpp' -o -name '*.inc' \) -type f \
    -print0 | xargs -0 sha256sum >"$hashes"
  while IFS=$'\t' read -r source rest; do
    key=$(printf '%s\n' "$configuration" "$source" "$rest" | sha256sum)
    key=${key%% *}
    if [[ -e $passed/$key ]]; then
      touch "$passed/$key"
    else
      printf '%s\0%s\0' "$source" "$key" >>"$todo"
      count=$((count + 1))
    fi
  done < <(inputs "$hashes")
  find "$passed" -maxdepth 1 -type f -mtime +30 -delete
  printf 'clang-tidy: %d sources to check\n' "$count"
  ((count == 0)) || xargs -0 -n 2 -P "$workers" bash -c 'check "$@"' check <"$todo" | number "$count"
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
