#!/usr/bin/env bash
# tests/bench/llama_cpp/compare.sh: reading and decoding speed on the CPU beside llama.cpp, the same files, the same threads, the same run.
#
#   compare.sh BUILD LLAMA_CPP WORK [ROUNDS [THREADS]]      BUILD      a build folder of Linea with the tests
#                                                           LLAMA_CPP  llama.cpp's source
#                                                           WORK       a folder for its build and for the models (600 MB)
#
# The two programs take turns; the medians over the rounds are printed. PYTHON names an interpreter that has gguf and numpy.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[[ $# -ge 3 ]] || { sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2; }
build=$1 source=$2 work=$3 rounds=${4:-7} threads=${5:-2}
mkdir -p "$work"

ninja -C "$build" linea_lm_speed >"$work/linea.log"
cmake -S "$source" -B "$work/llama.cpp" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DLLAMA_CURL=OFF -DGGML_NATIVE=ON \
  >"$work/llama.cpp.log"
ninja -C "$work/llama.cpp" llama >>"$work/llama.cpp.log"
libraries=$work/llama.cpp
g++ -O2 -std=c++17 -I"$source/include" -I"$source/ggml/include" "$here/llama_speed.cpp" -o "$work/llama_speed" \
  "$libraries/src/libllama.a" "$libraries/ggml/src/libggml.a" "$libraries/ggml/src/libggml-cpu.a" "$libraries/ggml/src/libggml-base.a" \
  -fopenmp -lpthread -ldl
[[ -e $work/mamba2-q4_k.gguf ]] || "${PYTHON:-python3}" "$here/make_models.py" "$work"

printf '%-12s %21s %21s %15s\n' model 'read 512: linea, llama' 'decode: linea, llama' 'ratios'
for model in rwkv7-q8_0 rwkv7-q4_k mamba2-q8_0 mamba2-q4_k; do
  for ((round = 0; round < rounds; ++round)); do
    echo "$(GOMP_SPINCOUNT=10000 "$build/bin/linea_lm_speed" "$work/$model.gguf" "$threads" 512 48)" \
      "$("$work/llama_speed" "$work/$model.gguf" "$threads" 512 48)"
  done >"$work/$model.speeds"
  median() { cut -d' ' -f"$1" "$work/$model.speeds" | sort -g | sed -n "$((rounds / 2 + 1))p"; }
  awk -v m="$model" -v p="$(median 1)" -v d="$(median 2)" -v lp="$(median 3)" -v ld="$(median 4)" \
    'BEGIN {printf "%-12s %10.0f %10.0f %10.0f %10.0f %9.2f %.2f\n", m, p, lp, d, ld, p / lp, d / ld}'
done
