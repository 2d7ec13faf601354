#!/usr/bin/env bash
# tests/device/picture_bench.sh: times of the picture path on a machine with a GPU, from a program that was built elsewhere.
#
#   picture_bench.sh pack BUILD ARCHIVE   puts the stripped `linea` of a build with LINEA_CUDA=ON, and the shared libraries that it needs
#                                         besides glibc's, libstdc++ and CUDA's, into ARCHIVE (.tar.xz, about 15 MB)
#   picture_bench.sh memory ARCHIVE       SANA-1.6B with random weights at 4096² under limits of memory: plan, planned and observed peak,
#                                         times, and the hash of the picture, which is the same in every line of a type
#   picture_bench.sh run ARCHIVE [FOLDER] SANA-1.6B with random weights at 1024², 2048² and 4096² in bf16 and FP8, op by op; JSON into FOLDER
#   picture_bench.sh costs ARCHIVE        step and decode from 512² to 8192², each stage's time alone
#   picture_bench.sh start ARCHIVE MODEL  six starts of the program until MODEL's picture is there and until the process ends, then the
#                                         second of two pictures of one process
#   picture_bench.sh loading ARCHIVE      weights of SANA-1.6B with Gemma-2-2B from the disk, the file cache and pinned memory (needs numpy)
#   picture_bench.sh devices ARCHIVE MODEL A B  60 and 240 pictures of MODEL on device A, on B and on both: seconds, and whether the bytes are
#                                         the same
#   picture_bench.sh processors ARCHIVE A,B ...  SANA-0.6B with random weights in bf16 at 1024² on processors A and B alone, and on every other
#                                         pair that is given: seconds of a picture of 20 steps, then a step op by op (needs numpy)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

pack() {
  local build=$1 archive=$2 library
  strip -o "$folder/linea" "$build/bin/linea"
  ldd "$build/bin/linea" | awk '$3 ~ /^\// {print $3}' | while read -r library; do
    case ${library##*/} in
      libc.so* | libm.so* | libpthread.so* | libdl.so* | librt.so* | libstdc++.so* | libgcc_s.so* | libcublas* | libcuda*) ;;
      *) cp -uL "$library" "$folder/" ;;
    esac
  done
  tar -C "$folder" -cJf "$archive" .
  du -h "$archive"
}

unpack() {
  local cublas
  tar -C "$folder" -xJf "$1"
  cublas=$(ldconfig -p | awk '/libcublasLt.so.13/ && !found {print $NF; found = 1}')
  [[ -n $cublas ]] || cublas=$(find /usr/local /opt -name libcublasLt.so.13 -print -quit 2>/dev/null)
  export LD_LIBRARY_PATH=$folder:${cublas%/*}:${LD_LIBRARY_PATH:-}
  nvidia-smi --query-gpu=name,memory.free,driver_version --format=csv
}

memory() {
  local options=(memory --device cuda:0 --model random:sana-1.6b-4k --size 4096 --steps 4)
  unpack "$1"
  "$folder/linea" plan --model random:sana-1.6b-4k --size 4096 --device cuda:0 --vram 8GiB
  "$folder/linea" bench "${options[@]}" --dtype bf16 --vram "0,24GiB,16GiB,12GiB,8GiB,6GiB,5GiB,4.6GiB"
  "$folder/linea" bench "${options[@]}" --dtype fp8 --vram "24GiB,8GiB"
}

run() {
  local json=${2:-} size dtype stages options
  unpack "$1"
  for size in 1024 2048 4096; do
    for dtype in bf16 fp8; do
      stages=step
      [[ $dtype == bf16 ]] && stages=step,decode
      [[ $size == 1024 ]] && stages=text,$stages
      options=(picture --device cuda:0 --model random:sana-1.6b --size "$size" --dtype "$dtype" --stages "$stages" --strip-rows 512)
      "$folder/linea" bench "${options[@]}"
      if [[ -n $json ]]; then "$folder/linea" bench "${options[@]}" --json >"$json/picture-$size-$dtype.json"; fi
    done
  done
}

costs() {
  local size stages
  unpack "$1"
  for size in 512 1024 2048 4096 8192; do
    stages=step,decode
    [[ $size == 8192 ]] && stages=step
    "$folder/linea" bench picture --device cuda:0 --model random:sana-1.6b --size "$size" --dtype bf16 --stages "$stages" | grep ratio
  done
}

seconds_since() { awk -v from="$1" -v to="${2:-$(date +%s.%N)}" 'BEGIN {printf "%.3f", to - from}'; }

start() {
  local turn began prompt="a red apple on a blue background"
  unpack "$1"
  for turn in 1 2 3 4 5 6; do
    began=$(date +%s.%N)
    "$folder/linea" generate --device cuda:0 --model "$2" --no-library -q -o "$folder/$turn.png" "$prompt"
    echo "PNG after $(seconds_since "$began" "$(stat -c %.9Y "$folder/$turn.png")") s, the process ends after $(seconds_since "$began") s"
  done
  "$folder/linea" bench memory --device cuda:0 --model "$2" --steps 20 --size 512 --vram 0
}

loading() {
  unpack "$1"
  python3 "$root/tests/full_size/make_random_model.py" sana-1600m "$folder/model" --dtype bf16 --text gemma-2-2b
  for _ in 1 2 3; do "$folder/linea" bench loading --device cuda:0 --model "$folder/model" --dtype bf16; done
}

devices() {
  local model=$2 a=$3 b=$4 count device began same
  unpack "$1"
  for count in 60 240; do
    for device in "$a" "$b" "$a,$b"; do
      mkdir -p "$folder/$device-$count"
      for _ in 1 2; do
        began=$(date +%s.%N)
        "$folder/linea" generate "a red apple on a blue background" --model "$model" --seed 7 --count "$count" --device "$device" --no-library \
          -q -o "$folder/$device-$count/p.png"
        echo "$count pictures on $device: $(seconds_since "$began") s"
      done
    done
    same=yes
    for device in "$b" "$a,$b"; do diff -r "$folder/$a-$count" "$folder/$device-$count" || same=no; done
    echo "$count pictures: the same bytes: $same"
    [[ $same == yes ]] || failed=1
  done
  return $failed
}

processors() {
  local pair began options=(--device cpu --dtype bf16 --threads 2 --size 1024)
  unpack "$1"
  shift
  python3 "$root/tests/full_size/make_random_model.py" sana-600m "$folder/model" --dtype bf16 --text gemma-2-2b
  for pair in "$@"; do
    began=$(date +%s.%N)
    taskset -c "$pair" "$folder/linea" generate "a red apple" "${options[@]}" --model "$folder/model" --no-library -q -o "$folder/$pair.png"
    echo "a picture on processors $pair: $(seconds_since "$began") s"
    taskset -c "$pair" "$folder/linea" bench step-600m "${options[@]}"
  done
}

failed=0
case ${1:-} in
  pack) pack "$2" "$3" ;;
  memory) memory "$2" ;;
  costs) costs "$2" ;;
  start) start "$2" "$3" ;;
  loading) loading "$2" ;;
  processors) processors "${@:2}" ;;
  devices) devices "$2" "$3" "$4" "$5" ;;
  run) run "$2" "${3:-}" ;;
  *)
    sed -n '2,18s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit 2
    ;;
esac
