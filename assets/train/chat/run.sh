#!/bin/bash
# Train and measure one model, or both side by side where there are two GPUs, within ten minutes.
#
#   run.sh PREPARED OUT rwkv7|mamba2|both [SECONDS]
#
# SECONDS of training alone; without it what an H100 needs for eight to ten passes over the corpus: with more it is
# learned by heart.
#
# OUT receives MODEL/part-*.safetensors (every minute), MODEL.log and MODEL.report.json. A compiled PREPARED/wkv7.so is used if
# it is there and passes its check; else the kernel is built here.
set -u
here=$(cd "$(dirname "$0")" && pwd)
prepared=$1 out=$2 what=$3 asked=${4:-}
mkdir -p "$out"
export PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=true

train() {  # MODEL GPU
  export CUDA_VISIBLE_DEVICES=$2 TORCHINDUCTOR_CACHE_DIR=/tmp/inductor-$1
  local default=175
  [[ $1 == mamba2 ]] && default=235
  local seconds=${asked:-$default}
  local common=(--prepared "$prepared" --kernel "$prepared/wkv7.so") begin=$SECONDS
  {
    if ! python3 "$here/train.py" "$1" "${common[@]}" --out "$out/$1" --seconds "$seconds" --deadline $((seconds + 60)); then
      local left=$((seconds + 60 - SECONDS + begin))
      echo "training failed; once more without compilation, for what is left of the time: $left s"
      ((left > 60)) && python3 "$here/train.py" "$1" "${common[@]}" --out "$out/$1" --eager --seconds $((left - 30)) --deadline "$left"
    fi
    python3 "$here/evaluate.py" "$1" "${common[@]}" --weights "$out/$1" --out "$out/$1.report.json"
  } 2>&1 | tee "$out/$1.log" | grep --line-buffered -v Warning
}

case $what in
  both) train rwkv7 0 & train mamba2 1 & wait ;;
  *) train "$what" 0 ;;
esac
