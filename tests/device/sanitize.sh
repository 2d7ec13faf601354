#!/usr/bin/env bash
# tests/device/sanitize.sh: the tests of CUDA kernels under compute-sanitizer, on a machine with a GPU and the CUDA toolkit.
#
#   sanitize.sh ARCHIVE [TOOLS] [FILTER] [SECONDS]   ARCHIVE of `cuda_parity.sh pack`, or a folder with linea_cuda_tests and its libraries;
#                                                    TOOLS memcheck,initcheck,racecheck,synccheck unless named; FILTER of GoogleTest, or
#                                                    `short` (the default): every kernel in bf16, without the larger tests; at most SECONDS
#                                                    (540) for each tool. Tests run in SHARDS (8) processes at once. Prints for each tool
#                                                    how many tests passed, its own count of errors, the first reports and the slowest test.
#                                                    Status 1 if a tool reported anything or did not end.
#
# What is left out, and why:
#   all tools   OutOfMemoryLeavesTheBackendUsable asks the driver for what it must refuse, which the tools count as an error.
#   initcheck   The tool does not see writes of the copy engine (cp.async.bulk), by which cuBLASLt's Hopper kernels and the one of cross
#               attention store their results, and calls those results uninitialised when the next kernel reads them. So
#               LINEA_SANITIZER=initcheck has every such result, and the products' workspace, filled with zeros first. A kernel that wrote
#               too little would go unnoticed by the tool; the tests, which compare every element with the CPU's and fill outputs with NaN
#               before, find that.
#   racecheck   Looks at shared memory alone. It wants tests built with -DLINEA_RACECHECK=ON: those of other builds have hazards in the step
#               kernel that are none (step_block.cuh says why). With a filter of kernels (--kernel-name) the tool itself fails on Hopper.
# Reports in which only kernels of libraries occur (cuBLASLt's, which use the copy engine) are counted apart and do not fail.
set -euo pipefail
archive=${1:-} tools=${2:-memcheck,initcheck,racecheck,synccheck} filter=${3:-short} seconds=${4:-540} shards=${SHARDS:-8}
if [[ -z $archive ]]; then
  sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
  exit 2
fi
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null) || {
  echo "sanitize.sh: compute-sanitizer is not installed (it is part of the CUDA toolkit)" >&2
  exit 2
}
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
if [[ -d $archive ]]; then
  folder=$archive
else
  folder=$logs/tests
  mkdir "$folder"
  tar -C "$folder" -xJf "$archive"
fi
cublas=$(ldconfig -p | awk '/libcublasLt.so.13/ && !found {print $NF; found = 1}')
[[ -n $cublas ]] || cublas=$(find /usr/local /opt -name libcublasLt.so.13 -print -quit 2>/dev/null)
export LD_LIBRARY_PATH=$folder:${cublas%/*}:${LD_LIBRARY_PATH:-}
# The shards share the processor: each computes the CPU's side of its tests alone.
export OMP_NUM_THREADS=1
# Algorithms that were chosen under a tool are not kept for others.
XDG_CACHE_HOME=$(mktemp -d -p "$logs")
export XDG_CACHE_HOME
excluded='*OutOfMemoryLeavesTheBackendUsable'
if [[ $filter == short ]]; then
  # The larger tests repeat what the small ones launch: these are CudaGemmParity's and CudaProductRows' only ones of their kernels.
  filter='*CudaParity*/bf16:*Recurrent*/bf16:*RecurrenceChunks*/bf16:*CudaStep*/bf16:*Quantized*/bf16:*CudaGemmParity.TakesTheMemoryThatItPlans/bf16:*CrossAttentionWritesThem/bf16'
  filter+=':*CudaGatedParity.Fp8EqualsTheProductAndItsEnd/bf16'
  excluded+=':*OfThirty*:*LinearDoesNotDependOnOtherMembers*:*SequencesDoNotMeet*:*StripsOfConvolutions*'
fi

# A shard without a test would end before the tool has seen anything, which it reports.
tests=$("$folder/linea_cuda_tests" --gtest_list_tests --gtest_filter="$filter-$excluded" | grep -c '^  ' || true)
((tests > 0)) || {
  echo "sanitize.sh: no test is named $filter" >&2
  exit 2
}
((shards <= tests)) || shards=$tests

run_shard() {
  local tool=$1 index=$2
  local -a options=(--tool "$tool" --print-limit 1000000 --error-exitcode 9)
  [[ $tool != synccheck ]] || options+=(--num-cuda-barriers 65536)  # of all blocks on the machine; the tool gives up beyond its default
  GTEST_TOTAL_SHARDS=$shards GTEST_SHARD_INDEX=$index timeout "$seconds" "$sanitizer" "${options[@]}" \
    "$folder/linea_cuda_tests" --gtest_filter="$filter-$excluded" >"$logs/$tool.$index.log" 2>&1
}

# reports TOOL: how many reports name a kernel of Linea or none, how many only others; then the first of the former.
reports() {
  cat "$logs/$1".*.log | awk '
    function finish() {
      if (block != "") { if (kernels && !own) ++others; else { ++ours; if (ours <= 6) first = first block } }
      block = ""; kernels = own = 0
    }
    /^=+ (Error|Warning|Invalid|Uninitialized|Program hit|Race|Barrier)/ { finish(); inside = 1; lines = 0 }
    !/^=+ +[^ ]/ { finish(); inside = 0 }
    inside {
      if (/ access at |^=+ +at / && !/Host Frame/) { ++kernels; if (/linea/) own = 1 }
      if (++lines <= 6) block = block substr($0, 1, 200) "\n"
    }
    END { finish(); printf "%d %d\n%s", ours, others, first }'
}

failed=0
for tool in ${tools//,/ }; do
  unset LINEA_SANITIZER
  [[ $tool != initcheck ]] || export LINEA_SANITIZER=initcheck
  processes=() statuses=()
  for ((i = 0; i < shards; ++i)); do
    run_shard "$tool" "$i" &
    processes+=($!)
  done
  for process in "${processes[@]}"; do
    status=0
    wait "$process" || status=$?
    statuses+=("$status")
    ((status == 0 || status == 9)) || failed=1
  done
  ran=$(cat "$logs/$tool".*.log | grep -c '^\[       OK' || true)
  read -r ours others < <(reports "$tool")
  ((ours == 0)) || failed=1
  echo "== $tool: $ran tests passed, $ours reports, $others of libraries alone; processes ended with ${statuses[*]} (9 = reports, 124 = out of time)"
  reports "$tool" | tail -n +2
  cat "$logs/$tool".*.log | sed -n 's/^\[       OK \] \([^ ,]*\).*(\([0-9]*\) ms)$/\2 \1/p' | sort -rn | awk 'NR == 1 {print "slowest: " $2 ", " $1 / 1000 " s"}'
  if cat "$logs/$tool".*.log | grep -E '^\[  FAILED' | sort -u | head -5; then failed=1; fi
done
exit $failed
