#!/usr/bin/env bash
# Gathers what the GPU machine lacks into FOLDER/1, FOLDER/2, …: one folder for each call that carries one.
#
#   tools/offline_gpu/pack.sh [FOLDER]        (FOLDER is .gpu; needs the package index, flite and espeak-ng, uv, xz)
#
# PART_MIB: size of a part; by default what the working tree leaves of the 64 MiB that travel with a call, 54 at most.
# PYTHON: this project's Python [.venv/bin/python]. HELD: folders of held-out spoken records, taken if they are complete.
# SPOKEN: such folders to train on, for voices that take the machine too long to speak with. ALIGN, TWIN: adapters that
# `align` and `twin` begin from; of one that holds more, `align` gets the encoder's part. TAKE: the adapter of a version that
# hears, which stands for the outcome of `align` and `sft`.
#
# Three archives travel, cut into pieces: `voice` (speech engines and the packages that speaking needs: the first to
# arrive, so that speech is made while the rest travels), `model` (the other packages, the base parts, adapters) and
# `spoken` (the clips made here).
set -euo pipefail

engine() {  # NAME FOLDER: a speech engine with every library it loads, libc too, so that any Linux of this processor runs it
  local name=$1 to=$2 binary loader
  binary=$(command -v "$name") || { echo "$name is not installed: deploy/system-packages.sh" >&2; exit 1; }
  mkdir -p "$to/bin" "$to/libexec" "$to/lib"
  cp -L "$binary" "$to/libexec/$name"
  ldd "$binary" | grep -o '/[^ ]*' | xargs -I{} cp -Lu {} "$to/lib/"
  loader=$(basename "$(ldd "$binary" | grep -o '/[^ ]*ld-linux[^ ]*')")
  cat > "$to/bin/$name" <<END
#!/bin/sh
here=\$(dirname "\$0")/..
export ESPEAK_DATA_PATH="\$here/share"
exec "\$here/lib/$loader" --library-path "\$here/lib" "\$here/libexec/$name" "\$@"
END
  chmod +x "$to/bin/$name"
}

locked() {  # FILE OUT: the lines of the project's lock, digests and all, for the packages listed in FILE
  awk -v list="$1" '
    BEGIN { while ((getline line < list) > 0) if (line !~ /^#/ && line != "") wanted[line] = 1 }
    /^[A-Za-z0-9]/ { name = tolower($1); sub(/[=;].*/, "", name); gsub(/[_.]/, "-", name); take = name in wanted
                     if (take) found[name] = 1 }
    take { print }
    END { for (name in wanted) if (!(name in found)) { print name " is not in the lock" > "/dev/stderr"; bad = 1 }; exit bad }
  ' requirements/cpu.txt > "$2"
}

site() {  # FILE FOLDER: the packages listed in FILE, for Python 3.12
  locked "$1" "$scratch/lock.txt"
  "$uv" pip install --quiet --no-deps --require-hashes --only-binary :all: --python-version 3.12 \
    --python-platform x86_64-manylinux_2_28 --target "$2" -r "$scratch/lock.txt"
  # What no import of the training path reaches.
  rm -rf "$2"/bin
  # The folder's name matters: dill, by which datasets names its contents, pickles whole modules that lie in no `site-packages`.
  find "$2" -name __pycache__ -prune -exec rm -rf {} +
}

clips() {  # INTO FOLDER…: complete sets of clips
  local from into=$1
  shift
  mkdir -p "$into"
  for from in "$@"; do
    if [ -s "$from/records.jsonl" ]; then
      mkdir -p "$into/$(basename "$from")"
      cp -r "$from/records.jsonl" "$from/audio" "$into/$(basename "$from")/"
    else
      echo "$from has no records.jsonl: left out" >&2
    fi
  done
}

main() {
  cd "$(dirname "$0")/../.."
  local out python tree room n used piece size
  out=$(realpath -m "${1:-.gpu}")
  python=${PYTHON:-.venv/bin/python}
  uv=$(command -v uv || echo .venv/bin/uv)
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT

  mkdir -p "$scratch/voice/packed" "$scratch/voice/engines/share" "$scratch/model/base"
  git rev-parse HEAD > "$scratch/voice/packed/commit"
  "$python" -c 'from pathlib import Path; from tools.offline_gpu.run_summary import code_digest; print(code_digest(Path(".")))' \
    > "$scratch/voice/packed/code"
  engine flite "$scratch/voice/engines"
  engine espeak-ng "$scratch/voice/engines"
  cp -r "$(espeak-ng --version | sed -n 's/.*Data at: *//p')" "$scratch/voice/engines/share/espeak-ng-data"
  # shellcheck disable=SC2086
  clips "$scratch/voice/held" ${HELD-var/data/dev}
  # shellcheck disable=SC2086
  clips "$scratch/spoken/spoken" ${SPOKEN-}
  tar -C "$scratch/spoken" -cf "$scratch/spoken.tar" .
  site tools/offline_gpu/packages-speech.txt "$scratch/voice/site-packages"
  tar -C "$scratch/voice" -cf - . | xz -6 -T0 > "$scratch/voice.tar.xz"

  site tools/offline_gpu/packages.txt "$scratch/site/site-packages"
  tar -C "$scratch/site" -cf - site-packages | xz -6 -T0 > "$scratch/model/site.tar.xz"
  "$python" -c '
import shutil, sys
from pathlib import Path
from model_repo.parts import fetch_part
from tools.offline_gpu.cut_whisper_encoder import cut_encoder
out = Path(sys.argv[1])
cut_encoder(fetch_part("whisper-tiny-en") / "tiny.en.pt", out / "whisper-tiny-en" / "encoder.pt")
shutil.copytree(fetch_part("smollm2-135m-instruct-q4_1"), out / "smollm2-135m-instruct-q4_1")' "$scratch/model/base"
  mkdir -p "$scratch/model/starts"
  [ -z "${TWIN-}" ] || cp "$TWIN" "$scratch/model/starts/twin.safetensors"
  [ -z "${ALIGN-}" ] || "$python" -m tools.offline_gpu.split_starts align "$ALIGN" "$scratch/model/starts"
  [ -z "${TAKE-}" ] || cp "$TAKE" "$scratch/model/starts/take.safetensors"
  tar -C "$scratch/model" -cf "$scratch/model.tar" .

  tree=$(git ls-files -z -c -o --exclude-standard | { xargs -0 du -cb 2> /dev/null || true; } |
    awk '$2 == "total" { sum += $1 } END { print int(sum / 1048576) + 1 }')
  room=$((PART_MIB > 0 ? PART_MIB : 62 - tree < 54 ? 62 - tree : 54))
  [ "$room" -ge 8 ] || { echo "the working tree's $tree MiB leave no room for a part" >&2; exit 1; }
  mkdir "$scratch/pieces"
  for piece in voice.tar.xz model.tar spoken.tar; do split -b 2M -d -a 3 "$scratch/$piece" "$scratch/pieces/$piece."; done
  (cd "$scratch/pieces" && sha256sum voice.* model.* spoken.* > "$scratch/manifest")
  rm -rf "$out"/[0-9]*
  n=1 used=0
  mkdir -p "$out/1"
  for piece in "$scratch"/pieces/voice.* "$scratch"/pieces/model.* "$scratch"/pieces/spoken.*; do
    size=$(stat -c %s "$piece")
    if [ $((used + size)) -gt $((room * 1048576 - 65536)) ]; then n=$((n + 1)) used=0; mkdir "$out/$n"; fi
    mv "$piece" "$out/$n/"
    used=$((used + size))
  done
  for piece in "$out"/*/; do cp "$scratch/manifest" "$piece"; done
  echo "$n parts of at most $room MiB beside a working tree of $tree MiB:"
  du -sh "$out"/*
}
PART_MIB=${PART_MIB:-0}
main "$@"
