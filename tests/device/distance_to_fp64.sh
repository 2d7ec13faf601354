#!/usr/bin/env bash
# tests/device/distance_to_fp64.sh: distance_to_fp64.py with a program that was built elsewhere.
#
#   distance_to_fp64.sh LINEA_PROGRAM OUT [OPTIONS]   LINEA_PROGRAM: an archive of `picture_bench.sh pack`, or a program whose libraries lie
#                                                     beside it or are installed. OPTIONS as distance_to_fp64.py has them. PYTHON names a
#                                                     Python with torch, diffusers, transformers and safetensors.
set -euo pipefail
if (($# < 2)); then
  sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
  exit 2
fi
program=$1 out=$2
shift 2
here=$(dirname "${BASH_SOURCE[0]}")
mkdir -p "$out"
if [[ $program == *.tar.* ]]; then
  mkdir -p "$out/program"
  tar -C "$out/program" -xJf "$program"
  program=$out/program/linea
fi
program=$(realpath "$program")
cublas=$(ldconfig -p | awk '/libcublasLt.so.13/ && !found {print $NF; found = 1}')
[[ -n $cublas ]] || cublas=$(find /usr/local /opt -name libcublasLt.so.13 -print -quit 2>/dev/null)
# For Linea alone: a Python package of torch brings libraries of its own.
run=$out/linea.sh
# shellcheck disable=SC2016  # those are for the script that is written
printf '#!/bin/sh\nLD_LIBRARY_PATH=%q:%q:${LD_LIBRARY_PATH:-} exec %q "$@"\n' "${program%/*}" "${cublas%/*}" "$program" >"$run"
chmod +x "$run"
exec "${PYTHON:-python3}" "$here/distance_to_fp64.py" "$(realpath "$run")" "$out" "$@"
