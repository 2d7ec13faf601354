#!/usr/bin/env bash
# tests/bench/batch_rate.sh [PROGRAM [PICTURES [ROUNDS [OPTIONS OF generate …]]]]: pictures a second of a loop of `linea generate`, of
# `linea batch`, and of the denoising steps alone. The two ways alternate, and each has its best round: what else runs on the machine hits
# both. PROGRAM is build/default/bin/linea where it is not given.
set -euo pipefail

root=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../..
program=${1:-$root/build/default/bin/linea} pictures=${2:-8} rounds=${3:-3}
shift $(($# < 3 ? $# : 3))
steps=20

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LINEA_LIBRARY=none XDG_CACHE_HOME=$work/cache

colours=(red green blue yellow purple orange white black)
things=(apple lemon cube sphere house boat star flower)
for ((i = 0; i < pictures; ++i)); do
  echo "a ${colours[i % 8]} ${things[i / 8 % 8]} number $i"
done >"$work/prompts.txt"

now() { date +%s.%N; }
calculate() { awk "BEGIN { printf \"%.$2f\", $1 }"; }
smaller() { awk -v a="$1" -v b="$2" 'BEGIN { print (a < b ? a : b) }'; }

loop() {
  local n=0 prompt
  while read -r prompt; do
    "$program" generate "$prompt" -o "$work/loop-$((n++)).png" --steps $steps --seed 1 --quiet "$@" </dev/null
  done <"$work/prompts.txt"
}

batch() {
  rm -rf "$work/out"
  "$program" batch "$work/prompts.txt" -o "$work/out" --steps $steps --seed 1 --progress none "$@"
}

# Seconds of the steps of as many pictures, made one after the other by one process.
steps_alone() {
  "$program" generate "a red apple" --count "$pictures" -o "$work/alone.png" --steps $steps --seed 1 --progress json "$@" 2>&1 </dev/null |
    awk -v step="\"step\":$steps," '/"stage":"denoise"/ && index($0, step) && match($0, /"seconds":[0-9.]+/) {
      sum += substr($0, RSTART + 10, RLENGTH - 10); ++n } END { print (n > 0 ? sum : "nan") }'
}

best_loop=1e9 best_batch=1e9 best_steps=1e9
for ((round = 0; round < rounds; ++round)); do
  start=$(now)
  loop "$@"
  best_loop=$(smaller "$best_loop" "$(calculate "$(now) - $start" 3)")
  start=$(now)
  batch "$@"
  best_batch=$(smaller "$best_batch" "$(calculate "$(now) - $start" 3)")
  best_steps=$(smaller "$best_steps" "$(steps_alone "$@")")
done

echo "pictures       $pictures of $steps steps, best of $rounds"
echo "loop           $(calculate "$best_loop / $pictures" 3) s a picture"
echo "batch          $(calculate "$best_batch / $pictures" 3) s a picture, $(calculate "$best_loop / $best_batch" 2) x the loop"
echo "steps alone    $(calculate "$best_steps / $pictures" 3) s a picture; batch has $(calculate "$best_steps / $best_batch" 3) of their rate"
