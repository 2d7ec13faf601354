#!/usr/bin/env bash
# tests/device/cuda_parity.sh: the CUDA tests on a machine with a GPU, from programs that were built elsewhere.
#
#   cuda_parity.sh pack BUILD ARCHIVE   puts the stripped test programs of a build with LINEA_CUDA=ON, and the shared libraries that they
#                                       need besides glibc's, libstdc++ and CUDA's, into ARCHIVE (.tar.xz, about 15 MB)
#   cuda_parity.sh run ARCHIVE          runs them here: every op against the CPU backend, then the models' golden tests on cuda:0
#   cuda_parity.sh bench ARCHIVE        the tests of language models' ops alone, then decoding and reading speed of RWKV-7 and Mamba-2 in
#                                       their published sizes, in 16 bits and quantised, beside the copy rate; about two minutes
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
programs=(linea_cuda_tests linea_textenc_tests linea_dit_tests linea_vae_tests linea_lm_tests)
bench=linea_lm_bench
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

pack() {
  local build=$1 archive=$2 program library
  for program in "${programs[@]}" "$bench"; do
    strip -o "$folder/$program" "$build/bin/$program"
    ldd "$build/bin/$program" | awk '$3 ~ /^\// {print $3}' | while read -r library; do
      case ${library##*/} in
        libc.so* | libm.so* | libpthread.so* | libdl.so* | librt.so* | libstdc++.so* | libgcc_s.so* | libcublas* | libcuda*) ;;
        *) cp -uL "$library" "$folder/" ;;
      esac
    done
  done
  tar -C "$folder" -cJf "$archive" .
  du -h "$archive"
}

unpack() {
  local archive=$1 cublas
  tar -C "$folder" -xJf "$archive"
  # The toolkit's cuBLASLt, or the one that came with a Python package.
  cublas=$(ldconfig -p | awk '/libcublasLt.so.13/ && !found {print $NF; found = 1}')
  [[ -n $cublas ]] || cublas=$(find /usr/local /opt -name libcublasLt.so.13 -print -quit 2>/dev/null)
  export LD_LIBRARY_PATH=$folder:${cublas%/*}:${LD_LIBRARY_PATH:-}
  nvidia-smi --query-gpu=name,memory.free,driver_version --format=csv
}

# Tests of kernels in twelve processes at once, since many wait for the CPU's side of a comparison.
run() {
  local program shard failed=0 processes=()
  unpack "$1"
  export LINEA_TEST_DEVICE=cuda:0 LINEA_TEST_DATA=$root/tests/data OMP_WAIT_POLICY=passive
  for ((shard = 0; shard < 12; ++shard)); do
    OMP_NUM_THREADS=2 GTEST_TOTAL_SHARDS=12 GTEST_SHARD_INDEX=$shard "$folder/linea_cuda_tests" >"$folder/shard.$shard" 2>&1 &
    processes+=($!)
  done
  for program in "${programs[@]:1}"; do
    echo "== $program"
    "$folder/$program" --gtest_brief=1 || failed=1
  done
  for ((shard = 0; shard < 12; ++shard)); do
    wait "${processes[shard]}" || {
      failed=1
      tail -n 40 "$folder/shard.$shard"
    }
  done
  echo "== linea_cuda_tests: $(cat "$folder"/shard.* | grep -c '^\[       OK' || true) passed," \
    "$(cat "$folder"/shard.* | grep -c '^\[  SKIPPED \].*ms)' || true) skipped"
  return $failed
}

bench() {
  local type
  unpack "$1"
  "$folder/linea_cuda_tests" --gtest_brief=1 --gtest_filter='*Recurrent*:*Quantized*' 2>&1 | grep -v '^$' | tail -30 || true
  time_model rwkv7-7.2b f16 4096 64 profile
  time_model rwkv7-2.9b f16 4096 64
  LINEA_CUDA_CHAIN=0 time_model rwkv7-2.9b f16 1024 | sed 's/^/without chained kernels: /'
  for type in int8 int4 q4_0 fp8; do
    time_model rwkv7-2.9b $type 4096
  done
  time_model mamba2-2.7b f16 4096 64 profile
}

# A model that fails does not keep the others from being timed.
time_model() {
  "$folder/$bench" cuda:0 "$@" 2>&1 || echo "failed: $*"
}

case ${1:-} in
  pack) pack "$2" "$3" ;;
  run) run "$2" ;;
  bench) bench "$2" ;;
  *)
    sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit 2
    ;;
esac
