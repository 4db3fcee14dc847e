#!/usr/bin/env bash
# The run on the GPU machine, stage by stage, each with a limit of seconds. docs/offline-gpu.md lists the calls.
#
#   STAGES="base texts twin align" tools/offline_gpu/run.sh   these stages in this order; a+b runs a and b at the same time
#   SMALL=1 tools/offline_gpu/run.sh                          the rehearsal: a dozen clips and a few steps, on a CPU
#
#   speech    texts of training.synth.text, spoken by flite and espeak-ng, in chunks. It stops after SPEECH_S seconds and
#             keeps complete chunks. A second start continues; if it is running already, the second start does nothing.
#   base      the untrained checkpoints from the base parts
#   texts     longer texts for the twin, some of them misheard
#   twin      SFT of the text model (TWIN_S), from starts/twin.safetensors if it was packed
#   align     encoder and projector (ALIGN_S), from starts/align.safetensors if it was packed, when there are ALIGN_CLIPS
#             clips. It also merges the result into the base of the audio model.
#   sft       SFT on summaries and on "repeat what is said" (SFT_S), from align's base and the twin's adapter. A second
#             start continues from its own adapter.
#   take      takes the adapter that was packed as TAKE as the result of align and sft; a later sft continues from it
#   answers   two answers of sft's checkpoint to some clips, which the teacher will learn to continue (ANSWERS_S)
#   teacher   SFT of the text model on the texts, the transcripts and those answers (TEACHER_S). It starts from the language
#             model of sft, so that the teacher knows more than its student and writes in the same way.
#   smoke     distill and dpo on a few clips, to find their errors while the teacher learns (SMOKE_S)
#   distill   on-policy distillation from the teacher, starting from sft's adapter (DISTILL_S)
#   pairs     answers of distill's checkpoint, compared by covered facts (PAIRS_S)
#   dpo       preference optimization on these pairs, starting from distill's adapter (DPO_S); dpo2 is the same with its own
#             settings
#
# With ENCODER_RANK (64 is the rank of align's adapters) the encoder keeps learning in all stages, and the base is not merged.
# A stage keeps its own limit. If it is ended by the limit all the same, it counts as cut short and not as failed, provided
# that it has saved an adapter. Adapters, logs and the table are copied to $OUT every minute, so that a call that is ended
# leaves the results so far. Clips that were packed (spoken/) are used SPOKEN_TIMES times. The last output is the table.
set -euo pipefail

settings() {
  code=$(cd "$(dirname "$0")/../.." && pwd)
  home=${GPU_HOME:-/tmp/speechsum-gpu}
  if [ "${SMALL:-0}" = 1 ]; then
    PYTHON=${PYTHON:-$code/.venv/bin/python} work=${WORK:-$code/var/gpu-small}
    OUT=${OUT:-$code/var/gpu-small-out}
    export PYTHONPATH="$code/tools/offline_gpu/guard:$code"
    : "${STAGES:=speech base+texts twin align sft teacher distill pairs dpo}"
    : "${JOBS:=2} ${CHUNKS:=2} ${CHUNK:=6} ${HELD_CLIPS:=4} ${SHORT_WORDS:=24} ${LONG_WORDS:=30} ${TEXT_SHARDS:=1} ${TEXTS:=8} ${TEXT_WORDS:=60}"
    : "${STEPS:=3} ${TWIN_BATCH:=2} ${TEACHER_S:=200} ${TEACHER_LEAVE:=100} ${BATCH:=2} ${DISTILL_BATCH:=2} ${GAIN_EVERY:=2} ${SAVE_EVERY:=1} ${WORKERS:=1}"
    : "${ALIGN_CLIPS:=8} ${ALIGN_HEAD_MIN:=0.05} ${ALIGN_BATCH:=2} ${ALIGN_S:=170} ${ALIGN_LEAVE:=110} ${DISTILL_CLIPS:=6} ${PAIR_CLIPS:=6} ${ANSWER_TOKENS:=12}"
    : "${MARGIN:=-2} ${LENGTH_RATIO:=1000} ${ALIGN_SPELL:=2} ${ANSWERED_CLIPS:=6} ${SMOKE_CLIPS:=4} ${SAMPLE_BATCH:=4} ${STEPS_PER_ROLLOUT:=2}"
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
  else
    PYTHON=${PYTHON:-python3} work=${WORK:-$home/work}
    export PYTHONPATH="$home/site-packages:$code" PATH="$home/engines/bin:$PATH"
  fi
  SPEECHSUM_COMMIT=$(cat "$home/packed/commit" 2> /dev/null || git -C "$code" rev-parse HEAD)
  export SPEECHSUM_COMMIT PYTHON OUT="${OUT:-$home/out}" TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1 TQDM_DISABLE=1
  : "${STAGES:=base+texts twin align sft}"
  # Everything fits into 15 minutes, of which starting the machine and receiving the parts take about 100 s.
  : "${SPEECH_S:=1500} ${TWIN_S:=75} ${ALIGN_S:=225} ${SFT_S:=190} ${TEACHER_S:=65} ${TEACHER_LEAVE:=25} ${DISTILL_S:=100} ${PAIRS_S:=50} ${DPO_S:=45} ${DPO2_S:=45} ${ANSWERS_S:=70} ${SMOKE_S:=150} ${BASE_S:=90} ${TEXTS_S:=90} ${TAKE_S:=60}"
  : "${JOBS:=14} ${CHUNKS:=120} ${CHUNK:=150} ${HELD_CLIPS:=64} ${ENGINES:=flite:0.5,espeak:0.5} ${SHORT_WORDS:=40} ${LONG_WORDS:=60} ${OPEN_VOCABULARY:=0.6}"
  : "${TEXT_SHARDS:=14} ${TEXTS:=400} ${TEXT_WORDS:=260} ${TEXT_NOISE:=0.05}"
  : "${STEPS:=100000} ${RANK:=16} ${TWIN_BATCH:=64} ${TWIN_RATE:=4e-4} ${TEACHER_RATE:=3e-4} ${TEACHER_CHUNKS:=40} ${BATCH:=64} ${SFT_RATE:=5e-4} ${DISTILL_BATCH:=64} ${DISTILL_RATE:=2e-4} ${DPO_RATE:=1e-4}"
  : "${GAIN_EVERY:=150} ${SAVE_EVERY:=100} ${WORKERS:=12} ${SPOKEN_TIMES:=8} ${REPEAT_CHUNKS:=30}"
  : "${ALIGN_CLIPS:=6000} ${ALIGN_HEAD_MIN:=0.25} ${ALIGN_RATE:=1e-3} ${ALIGN_BATCH:=64} ${ALIGN_LOG:=250} ${ALIGN_LEAVE:=45}"
  : "${ALIGN_SPELL:=60} ${ALIGN_CLASSES:=8000}"
  : "${ENCODER_RANK:=0} ${STEPS_PER_ROLLOUT:=8} ${SHARE:=0.5} ${SFT_CLIPS:=0} ${ANSWERED_CLIPS:=640} ${SMOKE_CLIPS:=48}"
  : "${SAMPLES:=4} ${SAMPLE_BATCH:=256} ${TEMPERATURE:=0.9} ${INVENTION_WEIGHT:=1} ${DPO_OPTIONS:=} ${DPO2_RATE:=2e-4} ${DPO2_OPTIONS:=--sft-weight 0.2}"
  : "${KEEP:=twin align sft teacher distill dpo dpo2}"
  : "${DISTILL_CLIPS:=2400} ${PAIR_CLIPS:=640} ${ANSWER_TOKENS:=96} ${MARGIN:=0.1} ${LENGTH_RATIO:=1.5}"
  export work code home JOBS CHUNKS CHUNK ENGINES SHORT_WORDS LONG_WORDS OPEN_VOCABULARY
  mkdir -p "$work/logs" "$work/speech" "$OUT"
  touch "$work/heard"
  cd "$code"
}

# --- speech ------------------------------------------------------------------------------------------------------------

speak() {  # FOLDER SEED SPLIT CLIPS WORDS: make a folder of spoken records
  [ ! -s "$1/records.jsonl" ] || return 0
  mkdir -p "$1"
  "$PYTHON" -m training.synth.text --n "$4" --seed "$2" --split "$3" --min-words 12 --max-words "$5" \
    --open-vocabulary "$OPEN_VOCABULARY" --json > "$1/texts.jsonl"
  "$PYTHON" -m training.synth.speech --records "$1/texts.jsonl" --out "$1" --engines "$ENGINES" --seed "$2" --format flac \
    --max-failed 0.2 >> "$1/log" 2>&1
}

chunk() {  # NUMBER: make a chunk of clips; every fourth chunk has longer texts
  set -euo pipefail
  local words=$SHORT_WORDS
  [ $((10#$1 % 4)) -ne 3 ] || words=$LONG_WORDS
  speak "$work/speech/$1" $((9000 + 10#$1)) train "$CHUNK" "$words" || echo "chunk $1 failed: $(tail -n 1 "$work/speech/$1/log")" >&2
}
export -f speak chunk

stage_speech() {
  exec 9> "$work/speech.lock"
  if ! flock --nonblock 9; then echo "speech is being made already"; return 0; fi
  export OMP_NUM_THREADS=1
  speak "$work/held" 8900 dev "$HELD_CLIPS" "$SHORT_WORDS"
  seq -w 0 $((CHUNKS - 1)) | nice -n 10 xargs -P "$JOBS" -I{} bash -c 'chunk {}'
}

spoken() { find "$work/speech" -mindepth 2 -maxdepth 2 -name records.jsonl -size +0 | sort; }

packed() {  # print the files of the clips that were packed, each SPOKEN_TIMES times
  local file n
  for file in "$home"/spoken/*/records.jsonl; do
    [ ! -f "$file" ] || for n in $(seq "$SPOKEN_TIMES"); do echo "$file"; done
  done
}

wait_for_clips() {  # NUMBER: wait until there are so many clips, or no more are being made
  local there
  while there=$(spoken | xargs -r cat | wc -l) && [ "$there" -lt "$1" ]; do
    if flock --nonblock "$work/speech.lock" true; then break; fi
    sleep 1
  done
  [ "$there" -gt 0 ] || { echo "no clip has been spoken" >&2; exit 1; }
  echo "$there clips"
}

held_out() {  # print the file of the clips for evaluation: the packed ones, or those made here
  if [ -s "$home/held/dev/records.jsonl" ]; then echo "$home/held/dev/records.jsonl"; else echo "$work/held/records.jsonl"; fi
}

# --- training ----------------------------------------------------------------------------------------------------------

build() {  # ARCHITECTURE FOLDER [ADAPTER …]: build a checkpoint with merged weights from the packed base parts
  local architecture=$1 folder=$2
  shift 2
  "$PYTHON" -m training export --architecture "$architecture" --folder-only "$folder" --parts "$parts" --adapter "$@"
}

stage_base() {
  build llama "$work/llama" & local pid=$!
  build audioflamingo3 "$work/audio"
  wait "$pid"
}

stage_texts() {
  local shard pid pids=()
  mkdir -p "$work/texts"
  for shard in $(seq "$TEXT_SHARDS"); do
    "$PYTHON" -m training.synth.text --n "$TEXTS" --seed $((8000 + shard)) --split train --max-words "$TEXT_WORDS" --asr-noise "$TEXT_NOISE" \
      --open-vocabulary "$OPEN_VOCABULARY" --json > "$work/texts/$shard.jsonl" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid"; done
}

minutes() {  # SECONDS LEAVE: print the minutes left of a stage of so many seconds, minus LEAVE seconds
  "$PYTHON" -c 'import sys; print(max(0.2, (float(sys.argv[1]) - float(sys.argv[2])) / 60))' "$1" $(($2 + SECONDS))
}

recipe() {  # COMMAND NAME SECONDS BASE START RATE BATCH MORE… -- DATA…: run a recipe; START may be empty
  local command=$1 name=$2 seconds=$3 base=$4 start=$5 rate=$6 batch=$7 more=()
  shift 7
  while [ "$1" != -- ]; do more+=("$1"); shift; done
  shift
  "$PYTHON" -m training "$command" --base "$base" --data "$@" --out "$work/$name" ${start:+--start "$start"} --max-steps "$STEPS" \
    --per-device-train-batch-size "$batch" --learning-rate "$rate" --lora-rank "$RANK" --save-steps "$SAVE_EVERY" --report-to none --bad-data drop --dataloader-num-workers "$WORKERS" \
    --max-minutes "$(minutes "$seconds" 8)" "${more[@]}"
}

start_of() {  # NAME…: print the adapter of the last of these stages that has one
  local name found=
  for name in "$@"; do [ ! -f "$work/$name/adapter.safetensors" ] || found=$work/$name/adapter.safetensors; done
  echo "$found"
}

packed_start() { [ ! -f "$home/starts/$1.safetensors" ] || echo "$home/starts/$1.safetensors"; }

hearing() {  # COMMAND …: run `recipe` for the audio model
  local command=$1 name=$2 seconds=$3
  shift 3
  recipe "$command" "$name" "$seconds" "$(hears)" "$1" "$2" "$3" --encoder-rank "$ENCODER_RANK" "${@:4}"
}

hears() { if [ "$ENCODER_RANK" = 0 ]; then echo "$work/aligned"; else echo "$work/audio"; fi; }

stage_twin() {
  recipe sft twin "$TWIN_S" "$work/llama" "$(packed_start twin)" "$TWIN_RATE" "$TWIN_BATCH" -- "$work"/texts/*.jsonl
}

stage_align() {
  local data start
  wait_for_clips "$ALIGN_CLIPS"
  mapfile -t data < <(spoken; packed)
  start=$(packed_start align)
  "$PYTHON" -m training align --base "$work/audio" --data "${data[@]}" --eval-data "$(held_out)" --out "$work/align" --in-memory \
    --layers 4 --lora-rank 64 ${start:+--start "$start"} --character-minutes "$ALIGN_HEAD_MIN" --max-minutes "$(minutes "$ALIGN_S" "$ALIGN_LEAVE")" \
    --batch-size "$ALIGN_BATCH" --learning-rate "$ALIGN_RATE" --dataloader-num-workers "$WORKERS" --logging-steps "$ALIGN_LOG" \
    --spell-below "$ALIGN_SPELL" --classes "$ALIGN_CLASSES"
  build audioflamingo3 "$work/aligned" "$work/align/adapter.safetensors"
}

stage_sft() {
  local data
  [ "$SFT_CLIPS" = 0 ] || wait_for_clips "$SFT_CLIPS"
  mapfile -t data < <(spoken; packed)
  spoken >> "$work/heard"
  # shellcheck disable=SC2046
  "$PYTHON" -m tools.offline_gpu.repeat_records "$work/repeats.jsonl" $(spoken | head -n "$REPEAT_CHUNKS") $(packed | sort -u)
  hearing sft sft "$SFT_S" "$(start_of twin sft)" "$SFT_RATE" "$BATCH" --eval-data "$(held_out)" \
    --audio-gain-steps "$GAIN_EVERY" -- "${data[@]}" "$work/repeats.jsonl"
}

stage_take() {
  mkdir -p "$work/sft"
  if [ "$ENCODER_RANK" = 0 ]; then
    "$PYTHON" -m tools.offline_gpu.split_starts take "$home/starts/take.safetensors" "$work/taken"
    build audioflamingo3 "$work/aligned" "$work/taken/below.safetensors"
    cp "$work/taken/taken.safetensors" "$work/sft/adapter.safetensors"
  else
    cp "$home/starts/take.safetensors" "$work/sft/adapter.safetensors"
  fi
  touch "$work/sft/taken"
}

sampled() {  # NAME DATA SAMPLES CHECKPOINT MORE…: sample so many answers to each clip, and pair them
  "$PYTHON" -m training pairs --base "$(hears)" --start "$4" --lora-rank "$RANK" --encoder-rank "$ENCODER_RANK" --rollout-copy \
    --batch-size "$SAMPLE_BATCH" --data "$2" --out "$work/$1/pairs.jsonl" --num-generations "$3" --max-completion-length "$ANSWER_TOKENS" \
    --temperature "$TEMPERATURE" --margin "$MARGIN" --invention-weight "$INVENTION_WEIGHT" --length-ratio "$LENGTH_RATIO" --dataloader-num-workers "$WORKERS" \
    "${@:5}"
}

stage_answers() {
  mkdir -p "$work/answers"
  { spoken; packed | sort -u; } | some "$ANSWERED_CLIPS" "$work/answers/data.jsonl"
  sampled answers "$work/answers/data.jsonl" 2 "$work/sft/adapter.safetensors"
}

stage_teacher() {
  local data more=()
  mapfile -t data < <(spoken | head -n "$TEACHER_CHUNKS"; packed | sort -u; ls "$work"/texts/*.jsonl 2> /dev/null)
  if [ -s "$work/answers/pairs.answers.jsonl" ]; then
    data+=("$work/answers/data.jsonl") more=(--answers "$work/answers/pairs.answers.jsonl")
  fi
  recipe sft teacher $((TEACHER_S - TEACHER_LEAVE)) "$work/llama" "$work/sft/adapter.safetensors" "$TEACHER_RATE" \
    "$TWIN_BATCH" "${more[@]}" -- "${data[@]}"
  build llama "$work/reader" "$work/teacher/adapter.safetensors"
}

some() { "$PYTHON" -m tools.offline_gpu.sample_records "$1" "$2"; }  # NUMBER OUT: write so many records of the files on the standard input

unheard() {  # NUMBER: print the files of clips that no stage has used, or all files if these have fewer records
  local found
  found=$(spoken | grep -vxF -f "$work/heard" || true)
  if [ "$(echo "$found" | xargs -r cat | wc -l)" -ge "$1" ]; then echo "$found"; else spoken; fi
}

distilled() {  # NAME SECONDS DATA TEACHER MORE…
  hearing distill "$1" "$2" "$work/sft/adapter.safetensors" "$DISTILL_RATE" "$DISTILL_BATCH" --teacher "$4" \
    --temperature 0.7 --off-policy-share "$SHARE" --loop-tokens 8 --max-completion-length "$ANSWER_TOKENS" --audio-gain-steps 0 \
    --steps-per-rollout "$STEPS_PER_ROLLOUT" --rollout-copy "${@:5}" -- "$3"
}

stage_distill() {
  unheard "$DISTILL_CLIPS" > "$work/distill-heard"
  { cat "$work/distill-heard"; packed; } | some "$DISTILL_CLIPS" "$work/distill-data.jsonl"
  cat "$work/distill-heard" >> "$work/heard"
  distilled distill "$DISTILL_S" "$work/distill-data.jsonl" "$work/reader"
}

preferred() {  # NAME SECONDS PAIRS START RATE MORE…
  hearing dpo "$1" "$2" "$4" "$5" $((BATCH / 2)) --audio-gain-steps 0 --logging-steps 2 "${@:6}" -- "$3"
}

stage_smoke() {
  local small=(--per-device-train-batch-size 8 --dataloader-num-workers 1)
  head -n "$SMOKE_CLIPS" "$work/answers/data.jsonl" > "$work/smoke-data.jsonl"
  head -n 16 "$work/answers/pairs.jsonl" > "$work/smoke-pairs.jsonl"
  STEPS=2 SHARE=0 STEPS_PER_ROLLOUT=2
  distilled smoke/distill "$SMOKE_S" "$work/smoke-data.jsonl" "$work/llama" "${small[@]}"
  preferred smoke/dpo "$SMOKE_S" "$work/smoke-pairs.jsonl" "$work/sft/adapter.safetensors" "$DPO_RATE" "${small[@]}"
}

stage_pairs() {
  { unheard "$PAIR_CLIPS"; packed | sort -u; } | some "$PAIR_CLIPS" "$work/pairs-data.jsonl"
  sampled pairs "$work/pairs-data.jsonl" "$SAMPLES" "$(start_of sft distill)" --balance-lengths
}

# shellcheck disable=SC2086
stage_dpo() { preferred dpo "$DPO_S" "$work/pairs/pairs.jsonl" "$(start_of sft distill)" "$DPO_RATE" $DPO_OPTIONS; }

# shellcheck disable=SC2086
stage_dpo2() { preferred dpo2 "$DPO2_S" "$work/pairs/pairs.jsonl" "$(start_of sft distill)" "$DPO2_RATE" $DPO2_OPTIONS; }

# --- running stages ----------------------------------------------------------------------------------------------------

keep() {  # copy the results to $OUT; a file that is being written is left for the next time
  local name file scratch
  scratch=$(mktemp -d "$work/keep.XXXX")
  for name in $KEEP; do
    file=$work/$name/adapter.safetensors
    [ -f "$file" ] && cp "$file" "$scratch/x" && cmp -s "$file" "$scratch/x" && mv "$scratch/x" "$OUT/$name.safetensors"
  done
  (cd "$work" && find . -maxdepth 2 -type f \( -path './logs/*' -o -name log.json -o -name run.json -o -name config.yaml \
    -o -name classes.json -o -path './pairs/*' -o -name commands \) \
    | tar -czf "$scratch/logs.tar.gz" -T - && mv "$scratch/logs.tar.gz" "$OUT/")
  rm -rf "$scratch"
}

run_stage() {  # NAME: run a stage in its own process, within its limit
  local name=$1 limit began=$SECONDS status=0 log
  log=$work/logs/$name.log
  limit=${name^^}_S
  timeout --kill-after=10 "${!limit}" "$code/tools/offline_gpu/run.sh" --stage "$name" >> "$log" 2>&1 || status=$?
  mkdir -p "$work/$name"
  echo $((SECONDS - began)) > "$work/$name/seconds"
  if [ "$status" -ge 124 ] && { [ -f "$work/$name/adapter.safetensors" ] || [ "$name" = speech ]; }; then
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
  echo "STAGES=\"$STAGES\" ${SMALL:+SMALL=$SMALL }tools/offline_gpu/run.sh" >> "$work/commands"
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
  # Speech may run before the packages of the summary have arrived.
  if [ "$STAGES" != speech ]; then
    "$PYTHON" -m tools.offline_gpu.run_summary --work "$work" --packed "$home/packed" --out "$OUT/table.json"
  fi
  return "$failed"
}
main "$@"
exit
