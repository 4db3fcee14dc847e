#!/usr/bin/env bash
# The whole run on the GPU machine, stage by stage, each within its seconds; README.md has the calls.
#
#   STAGES="base+texts twin+align" training/gpu/run.sh         stages in order; those joined by + at the same time
#   SMALL=1 training/gpu/run.sh                                  the rehearsal: a dozen clips, a few steps, on a CPU
#
#   speech    texts from training.corpus, spoken by flite and espeak-ng, in chunks; leaves off at SPEECH_S, keeps whole chunks.
#             Started again it goes on; where it runs already (in the background) it leaves it to that one.
#   base      the untrained checkpoints out of the base parts
#   texts     longer texts for the twin, some misheard
#   twin      SFT of the text model (TWIN_S)
#   align     encoder and projector, on ALIGN_CLIPS clips (ALIGN_S; ALIGN_HEAD_MIN and ALIGN_MIN are its minutes); their base
#   repeat    SFT on "repeat what is said", from align's base and the twin's adapter (REPEAT_S)
#   sft       SFT on summaries, from repeat's adapter, or the twin's (SFT_S). The same stage again goes on from its own adapter.
#   distill   on-policy distillation from the twin, from sft's adapter (DISTILL_S; not among the default stages)
#   evaluate  the final checkpoint on held-out clips (EVALUATE_S)
#
# A stage that meets its limit counts as cut short, not as failed, if it has saved an adapter. Adapters, logs and the table
# are copied to $OUT every minute, so that a call that is ended leaves what there was. Last on the output: the table.
set -euo pipefail

settings() {
  code=$(cd "$(dirname "$0")/../.." && pwd)
  home=${GPU_HOME:-/tmp/speechsum-gpu}
  if [ "${SMALL:-0}" = 1 ]; then
    PYTHON=${PYTHON:-$code/.venv/bin/python} work=${WORK:-$code/var/gpu-small}
    OUT=${OUT:-$code/var/gpu-small-out}
    export PYTHONPATH="$code/training/gpu/guard:$code"
    : "${STAGES:=speech base+texts twin+align repeat sft distill evaluate}"
    : "${JOBS:=2} ${CHUNKS:=2} ${CHUNK:=6} ${HELD_CLIPS:=4} ${MAX_WORDS:=24} ${TEXT_SHARDS:=1} ${TEXTS:=8} ${TEXT_WORDS:=60}"
    : "${LEG:=2} ${MAX_STEPS:=3} ${TWIN_BATCH:=2} ${BATCH:=2} ${GAIN_EVERY:=2} ${SAVE_EVERY:=1} ${WORKERS:=0}"
    : "${ALIGN_CLIPS:=8} ${ALIGN_HEAD_MIN:=0.05} ${ALIGN_MIN:=0.15} ${ALIGN_BATCH:=2} ${ENCODERS:=1} ${TRY_CLIPS:=2}"
    export OMP_NUM_THREADS=1
  else
    PYTHON=${PYTHON:-python3} work=${WORK:-$home/work}
    export PYTHONPATH="$home/site-packages:$code" PATH="$home/engines/bin:$PATH"
  fi
  export PYTHON OUT="${OUT:-$home/out}" TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1 TQDM_DISABLE=1
  : "${STAGES:=base+texts twin+align repeat sft evaluate}"
  : "${SPEECH_S:=1500} ${TWIN_S:=300} ${ALIGN_S:=480} ${REPEAT_S:=150} ${SFT_S:=330} ${DISTILL_S:=200} ${EVALUATE_S:=200} ${BASE_S:=90} ${TEXTS_S:=90}"
  : "${JOBS:=14} ${CHUNKS:=100} ${CHUNK:=300} ${HELD_CLIPS:=64} ${ENGINES:=flite:0.35,espeak:0.65} ${MAX_WORDS:=90}"
  : "${TEXT_SHARDS:=14} ${TEXTS:=1500} ${TEXT_WORDS:=260}"
  : "${LEG:=40} ${MAX_STEPS:=100000} ${RANK:=16} ${TWIN_BATCH:=64} ${TWIN_RATE:=5e-4} ${BATCH:=64} ${REPEAT_RATE:=5e-4} ${SFT_RATE:=3e-4} ${DISTILL_RATE:=1e-4}"
  : "${GAIN_EVERY:=50} ${SAVE_EVERY:=50} ${WORKERS:=12}"
  : "${ALIGN_CLIPS:=3000} ${ALIGN_HEAD_MIN:=1} ${ALIGN_MIN:=3} ${ALIGN_BATCH:=32} ${ENCODERS:=10} ${TRY_CLIPS:=64}"
  export work code home JOBS CHUNKS CHUNK ENGINES MAX_WORDS
  mkdir -p "$work/logs" "$work/speech" "$OUT"
  cd "$code"
}

# --- speech ------------------------------------------------------------------------------------------------------------

speak() {  # FOLDER SEED SPLIT CLIPS: one folder of spoken records
  [ ! -s "$1/records.jsonl" ] || return 0
  mkdir -p "$1"
  "$PYTHON" -m training.corpus --n "$4" --seed "$2" --split "$3" --min-words 12 --max-words "$MAX_WORDS" --json > "$1/texts.jsonl"
  "$PYTHON" -m training.speech --records "$1/texts.jsonl" --out "$1" --engines "$ENGINES" --seed "$2" --format flac \
    --max-failed 0.2 >> "$1/log" 2>&1
}

chunk() {  # NUMBER
  set -euo pipefail
  speak "$work/speech/$1" $((9000 + 10#$1)) train "$CHUNK" || echo "chunk $1 failed: $(tail -n 1 "$work/speech/$1/log")" >&2
}
export -f speak chunk

stage_speech() {
  exec 9> "$work/speech.lock"
  if ! flock --nonblock 9; then echo "speech is being made already"; return 0; fi
  export OMP_NUM_THREADS=1
  speak "$work/held" 8900 dev "$HELD_CLIPS"
  seq -w 0 $((CHUNKS - 1)) | nice -n 10 xargs -P "$JOBS" -I{} bash -c 'chunk {}'
}

spoken() { find "$work/speech" -mindepth 2 -maxdepth 2 -name records.jsonl -size +0 | sort; }

wait_for_clips() {  # NUMBER: until there are so many, or no more are being made
  local there
  while there=$(spoken | xargs -r cat | wc -l) && [ "$there" -lt "$1" ]; do
    if flock --nonblock "$work/speech.lock" true; then break; fi
    sleep 3
  done
  [ "$there" -gt 0 ] || { echo "no clip has been spoken" >&2; exit 1; }
  echo "$there clips"
}

# --- training ----------------------------------------------------------------------------------------------------------

build() {  # ARCHITECTURE FOLDER [ADAPTER …]: merged weights, out of the parts that travelled
  local architecture=$1 folder=$2
  shift 2
  "$PYTHON" -m training export --architecture "$architecture" --folder-only "$folder" --parts "$parts" --adapter "$@"
}

stage_base() {
  build llama "$work/llama"
  build audioflamingo3 "$work/audio"
}

stage_texts() {
  local shard pid pids=()
  mkdir -p "$work/texts"
  for shard in $(seq "$TEXT_SHARDS"); do
    "$PYTHON" -m training.corpus --n "$TEXTS" --seed $((8000 + shard)) --split train --max-words "$TEXT_WORDS" --asr-noise 0.05 \
      --json > "$work/texts/$shard.jsonl" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid"; done
}

recipe() {  # OUT BASE START STEPS RATE BATCH DATA…: START may be empty; `distill` where OUT says so, else `sft`
  local out=$1 base=$2 start=$3 steps=$4 rate=$5 batch=$6 which=(sft --workers "$WORKERS") held=()
  shift 6
  if [[ $out = */distill* ]]; then which=(distill --teacher "$work/reader"); fi
  if [ "$base" != "$work/llama" ]; then held=(--held "$work/held/records.jsonl"); fi
  "$PYTHON" -m training "${which[@]}" --base "$base" --data "$@" --out "$out" ${start:+--start "$start"} --steps "$steps" \
    --batch "$batch" --rate "$rate" --rank "$RANK" --gain-every "$GAIN_EVERY" --save-every "$SAVE_EVERY" "${held[@]}"
}

# A first leg of LEG steps shows how long a step takes; the second takes as many as the seconds hold, at a schedule that ends.
learn() {  # NAME SECONDS BASE START RATE BATCH DATA…: SECONDS of this stage's process, whose clock is bash's own
  local name=$1 seconds=$2 base=$3 start=$4 rate=$5 batch=$6 began=$SECONDS steps
  shift 6
  rm -f "$work/$name/log.json"
  recipe "$work/$name-first" "$base" "$start" "$LEG" "$rate" "$batch" "$@"
  steps=$("$PYTHON" -c '
import json, sys
last = json.load(open(sys.argv[1]))[-1]
left, leg, most = map(float, sys.argv[2:])
startup = max(0.0, leg - last["train_runtime"])
print(int(min(most, 0.92 * (left - startup - 10) * last["train_steps_per_second"])))' \
    "$work/$name-first/log.json" $((seconds - SECONDS)) $((SECONDS - began)) "$MAX_STEPS")
  echo "$name: $steps steps after the first $LEG"
  if [ "$steps" -lt 1 ]; then
    mkdir -p "$work/$name" && cp "$work/$name-first"/{adapter.safetensors,log.json} "$work/$name/"
  else
    recipe "$work/$name" "$base" "$work/$name-first/adapter.safetensors" "$steps" "$rate" "$batch" "$@"
  fi
}

stage_twin() { learn twin "$TWIN_S" "$work/llama" "${TWIN_START:-}" "$TWIN_RATE" "$TWIN_BATCH" "$work"/texts/*.jsonl; }

stage_align() {
  local data
  wait_for_clips "$ALIGN_CLIPS"
  mapfile -t data < <(spoken | head -n $(((ALIGN_CLIPS + CHUNK - 1) / CHUNK)))
  OMP_NUM_THREADS=1 "$PYTHON" -m training.gpu.encode --base "$work/audio" --data "${data[@]}" "$work/held/records.jsonl" \
    --features "$work/features" --threads "$ENCODERS"
  "$PYTHON" -m training align --base "$work/audio" --data "${data[@]}" --held "$work/held/records.jsonl" --out "$work/align" \
    --features "$work/features" --character-minutes "$ALIGN_HEAD_MIN" --minutes "$ALIGN_MIN" --batch "$ALIGN_BATCH" --log-every 100
}

aligned() {  # the base that hears: align's adapter merged
  [ -f "$work/aligned/model.safetensors" ] || build audioflamingo3 "$work/aligned" "$work/align/adapter.safetensors"
}

stage_repeat() {
  local data
  aligned
  mapfile -t data < <(spoken)
  "$PYTHON" -m training.gpu.repeats "$work/repeats.jsonl" "${data[@]}"
  learn repeat "$REPEAT_S" "$work/aligned" "$work/twin/adapter.safetensors" "$REPEAT_RATE" "$BATCH" "$work/repeats.jsonl"
}

stage_sft() {
  local data start name
  aligned
  mapfile -t data < <(spoken)
  for name in twin repeat sft; do
    [ ! -f "$work/$name/adapter.safetensors" ] || start=$work/$name/adapter.safetensors
  done
  learn sft "$SFT_S" "$work/aligned" "$start" "$SFT_RATE" "$BATCH" "${data[@]}"
}

reader() {  # the text twin: its adapter merged
  [ -f "$work/reader/model.safetensors" ] || build llama "$work/reader" "$work/twin/adapter.safetensors"
}

stage_distill() {
  local data
  aligned
  reader
  mapfile -t data < <(spoken)
  learn distill "$DISTILL_S" "$work/aligned" "$work/sft/adapter.safetensors" "$DISTILL_RATE" "$BATCH" "${data[@]}"
}

stage_evaluate() {
  local sets=("$work/held/records.jsonl") file name last
  for file in "$home"/held/*/records.jsonl; do [ ! -f "$file" ] || sets+=("$file"); done
  for name in repeat sft distill; do
    [ ! -f "$work/$name/adapter.safetensors" ] || last=$work/$name/adapter.safetensors
  done
  build audioflamingo3 "$work/final" "$work/align/adapter.safetensors" "$last"
  reader
  "$PYTHON" -m training.gpu.try_out --model "$work/final" --twin "$work/reader" --records "${sets[@]}" --limit "$TRY_CLIPS" --batch 64 \
    --out "$work/tried.json"
}

# --- running stages ----------------------------------------------------------------------------------------------------

keep() {  # what is worth keeping, to $OUT; a file is left for the next time if it is being written
  local name file scratch
  scratch=$(mktemp -d "$work/keep.XXXX")
  for name in twin align repeat sft distill; do
    file=$work/$name/adapter.safetensors
    [ -f "$file" ] && cp "$file" "$scratch/x" && cmp -s "$file" "$scratch/x" && mv "$scratch/x" "$OUT/$name.safetensors"
  done
  [ ! -f "$OUT/sft.safetensors" ] || rm -f "$OUT/repeat.safetensors"
  [ ! -f "$OUT/distill.safetensors" ] || rm -f "$OUT/sft.safetensors"
  (cd "$work" && find . -maxdepth 2 -type f \( -path './logs/*' -o -name log.json -o -name classes.json -o -name commands \) \
    | tar -czf "$scratch/logs.tar.gz" -T - && mv "$scratch/logs.tar.gz" "$OUT/")
  [ ! -f "$work/tried.json" ] || cp "$work/tried.json" "$OUT/"
  rm -rf "$scratch"
}

run_stage() {  # NAME: in a process of its own, within its seconds
  local name=$1 limit began=$SECONDS status=0 log
  log=$work/logs/$name.log
  limit=${name^^}_S
  timeout --kill-after=10 "${!limit}" "$code/training/gpu/run.sh" --stage "$name" >> "$log" 2>&1 || status=$?
  mkdir -p "$work/$name"
  echo $((SECONDS - began)) > "$work/$name/seconds"
  if [ "$status" -ge 124 ] && { [ -f "$work/$name/adapter.safetensors" ] || [ "$name" = speech ] || [ -f "$work/tried.json" ]; }; then
    echo "$name: cut short after $((SECONDS - began)) s"
  elif [ "$status" -ne 0 ]; then
    echo "$name: FAILED ($status) after $((SECONDS - began)) s" >&2
    tail -n 25 "$log" >&2
    return 1
  else
    echo "$name: done in $((SECONDS - began)) s"
  fi
}

main() {
  local group stage pids pid failed=0 keeper
  settings
  parts=$home/base
  if [ "${SMALL:-0}" = 1 ] && [ ! -d "$parts" ]; then
    parts=${SPEECHSUM_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/speechsum}/parts
  fi
  if [ "${1:-}" = --stage ]; then "stage_$2"; return; fi
  echo "STAGES=\"$STAGES\" ${SMALL:+SMALL=$SMALL }training/gpu/run.sh" >> "$work/commands"
  while sleep 60; do keep; done > /dev/null 2>&1 &
  keeper=$!
  for group in $STAGES; do
    pids=()
    for stage in ${group//+/ }; do run_stage "$stage" & pids+=($!); done
    for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
    [ "$failed" = 0 ] || break
  done
  kill "$keeper" 2> /dev/null || true
  wait "$keeper" 2> /dev/null || true
  keep || true
  # Speech alone runs before torch's companions have come.
  if [ "$STAGES" != speech ]; then
    "$PYTHON" -m training.gpu.table --work "$work" --packed "$home/packed" --out "$OUT/table.json"
  fi
  return "$failed"
}
main "$@"
exit
