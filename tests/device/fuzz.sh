#!/usr/bin/env bash
# tests/device/fuzz.sh: all fuzz programs at once on a machine with many cores, from programs that were built elsewhere.
#
#   fuzz.sh pack BUILD ARCHIVE [CORPORA]   puts the fuzz programs of a build with clang and libFuzzer (docs/development.md), their corpora,
#                                          more inputs from CORPORA/<reader>, and the shared libraries that they need besides glibc's and
#                                          libstdc++, into ARCHIVE (.tar.xz)
#   fuzz.sh run ARCHIVE SECONDS [FOLDER]   runs every program for that long, all at the same time, and prints a line for each: inputs
#                                          tried, coverage, crashes (hangs and too much memory too), inputs that took ten seconds. A program
#                                          that stops at a crash goes on with another seed. What a reader did not survive or was slow with,
#                                          and the beginning of the reports, go to FOLDER (or $OUT). Status 1 after a crash.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Good files that a reader's corpus does not hold.
good_files() {
  local data=$root/tests/data
  case $1 in
    gguf) echo "$data/checkpoints/mixed.gguf" ;;
    image) echo "$data"/images/*.png "$data"/images/*.jpg "$data"/images/*.webp ;;
    json) echo "$data/lm/bpe/variants.json" ;;
    png_text) echo "$data/images/rgb.png" ;;
    safetensors) echo "$data/checkpoints/torch.safetensors" "$data/checkpoints/gguf.safetensors" ;;
    torch_checkpoint) echo "$data"/checkpoints/*.pth ;;
    hf_tokenizer) echo "$data/lm/bpe/tokenizer.json" ;;
    world_vocabulary) echo "$data/lm/world/vocabulary.txt" ;;
  esac
}

pack() {
  local build=$1 archive=$2 more=${3:-} program reader library
  for program in "$build"/bin/linea_fuzz_*; do
    reader=${program##*/linea_fuzz_}
    mkdir -p "$folder/bin" "$folder/lib" "$folder/corpus/$reader"
    strip --strip-debug -o "$folder/bin/$reader" "$program"
    find "$root/tests/fuzz/corpus/$reader" -type f -exec cp -t "$folder/corpus/$reader" {} +
    # shellcheck disable=SC2046
    set -- $(good_files "$reader")
    [[ $# == 0 ]] || cp "$@" "$folder/corpus/$reader/"
    [[ ! -d $more/$reader ]] || find "$more/$reader" -type f -exec cp -n -t "$folder/corpus/$reader" {} +
    ldd "$program" | awk '$3 ~ /^\// {print $3}' | while read -r library; do
      case ${library##*/} in
        libc.so* | libm.so* | libpthread.so* | libdl.so* | librt.so* | libstdc++.so* | libgcc_s.so*) ;;
        *) cp -uL "$library" "$folder/lib/" ;;
      esac
    done
  done
  mkdir -p "$folder/data/lm"
  cp -r "$root/tests/data/lm/rwkv4" "$folder/data/lm/"
  # The programs hold the same libraries: with a dictionary of them all, they are stored once.
  tar -C "$folder" -c . | xz --threads=1 --lzma2=preset=4,dict=1GiB >"$archive"
  du -h "$archive"
}

# The addresses of the sanitizer's shadow memory collide with those of a wide random layout (kernels from 6.5 on), and leaks cannot be
# looked for where processes may not be traced.
prepare() {
  launcher=()
  setarch -R true 2>/dev/null && launcher=(setarch -R)
  if "${launcher[@]}" "$folder/bin/json" -runs=1 "$folder/corpus/json" 2>&1 | grep -q 'LeakSanitizer has encountered a fatal error'; then
    export ASAN_OPTIONS=detect_leaks=0
  fi
}

# One reader until SECONDS have passed since `start`, and a few more for the input that is being read then.
fuzz() {
  local reader=$1 end=$(($2 + start)) work=$folder/work/$1 timeout=60 attempt=0 left
  [[ $reader == grammar ]] && timeout=200
  mkdir -p "$work/new" "$work/crashes"
  cd "$work"
  while left=$((end - $(date +%s))) && ((left > 0 && attempt < 100)); do
    timeout -s INT -k 5 $((left + 15)) "${launcher[@]}" "$folder/bin/$reader" -max_total_time=$left -timeout=$timeout \
      -rss_limit_mb=4096 -print_final_stats=1 -artifact_prefix="$work/crashes/" -seed=$((attempt + 1)) \
      "$work/new" "$folder/corpus/$reader" >"log.$attempt" 2>&1 && break
    attempt=$((attempt + 1))
  done
}

report() {
  local reader=$1 out=$2 work=$folder/work/$1 runs coverage crashes slow log
  runs=$(awk 'FNR == 1 {sum += last; last = 0} /^#[0-9]/ {last = substr($1, 2)} /number_of_executed_units/ {last = $2}
    END {print sum + last}' "$work"/log.*)
  coverage=$(cat "$work"/log.* | awk '/ cov: / {for (i = 1; i < NF; ++i) if ($i == "cov:") last = $(i + 1)} END {print last + 0}')
  slow=$(find "$work/crashes" -type f -name 'slow-unit-*' | wc -l)
  crashes=$(($(find "$work/crashes" -type f | wc -l) - slow))
  printf '%-17s %9d runs  coverage %5d  new inputs %5d  crashes %d  slow %d\n' "$reader" "$runs" "$coverage" \
    "$(find "$work/new" -type f | wc -l)" "$crashes" "$slow"
  if ((runs == 0)); then tail -3 "$work/log.0"; fi
  for log in $(grep -lE '^SUMMARY|ERROR: ' "$work"/log.* || true); do
    grep -m 2 -E '^SUMMARY|ERROR: |runtime error' "$log" | cut -c1-200
    mkdir -p "$out/$reader"
    grep -A 25 -E -m 1 'ERROR: |runtime error' "$log" >"$out/$reader/${log##*/}" || true
  done
  ((crashes + slow == 0)) || { mkdir -p "$out/$reader" && cp -r "$work/crashes/." "$out/$reader/"; }
  ((runs > 0 && crashes == 0))
}

run() {
  local archive=$1 seconds=$2 out=${3:-${OUT:-$PWD/fuzz-crashes}} program failed=0
  tar -C "$folder" -xJf "$archive"
  export LD_LIBRARY_PATH=$folder/lib LINEA_TEST_DATA=$folder/data OMP_NUM_THREADS=1
  unset LINEA_TEST_DEVICE  # the programs are built without CUDA
  prepare
  start=$(date +%s)
  for program in "$folder"/bin/*; do
    (fuzz "${program##*/}" "$seconds") &
  done
  wait
  for program in "$folder"/bin/*; do
    report "${program##*/}" "$out" || failed=1
  done
  echo "$seconds s each on $(getconf _NPROCESSORS_ONLN) cores"
  return $failed
}

usage() {
  sed -n '2,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
  exit 2
}

case ${1:-} in
  pack) [[ $# == 3 || $# == 4 ]] || usage; pack "${@:2}" ;;
  run) [[ $# == 3 || $# == 4 ]] || usage; run "${@:2}" ;;
  *) usage ;;
esac
