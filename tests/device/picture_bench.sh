#!/usr/bin/env bash
# tests/device/picture_bench.sh: times of the picture path on a machine with a GPU, from a program that was built elsewhere.
#
#   picture_bench.sh pack BUILD ARCHIVE   puts the stripped `linea` of a build with LINEA_CUDA=ON, and the shared libraries that it needs
#                                         besides glibc's, libstdc++ and CUDA's, into ARCHIVE (.tar.xz, about 15 MB)
#   picture_bench.sh memory ARCHIVE       SANA-1.6B with random weights at 4096² under limits of memory: plan, planned and observed peak,
#                                         times, and the hash of the picture, which is the same in every line of a type
#   picture_bench.sh run ARCHIVE [FOLDER] SANA-1.6B with random weights at 1024², 2048² and 4096² in bf16 and FP8, op by op; JSON into FOLDER
set -euo pipefail
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

case ${1:-} in
  pack) pack "$2" "$3" ;;
  memory) memory "$2" ;;
  run) run "$2" "${3:-}" ;;
  *)
    sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit 2
    ;;
esac
