#!/usr/bin/env bash
# Packs everything that the GPU machine lacks into FOLDER/1, FOLDER/2, …: one folder for each call.
#
#   tools/offline_gpu/pack.sh [FOLDER]        (FOLDER is .gpu; needs the package index, flite and espeak-ng, uv, xz)
#
# PART_MIB: the size of a part in MiB. By default it is what the working tree leaves of the 64 MiB of a call, 54 at most.
# PYTHON: this project's Python [.venv/bin/python].
# HELD: folders of spoken records for evaluation. Incomplete folders are left out.
# SPOKEN: folders of spoken records for training, with voices that are too slow for the machine.
# ALIGN, TWIN: adapters from which the stages `align` and `twin` begin. `align` gets only the encoder's part of an adapter.
# TAKE: the adapter of an audio model, which replaces the result of `align` and `sft`.
#
# There are three archives, which are cut into pieces: `voice` (the speech engines and the packages for speech, which
# arrive first, so that speech is made while the rest is sent), `model` (the other packages, the base parts and adapters)
# and `spoken` (the clips that were made here).
set -euo pipefail

engine() {  # NAME FOLDER: copy a speech engine with all libraries (libc too), so that it runs on any Linux of this processor
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

locked() {  # FILE OUT: write the lines of the project's lock, with digests, for the packages that FILE lists
  awk -v list="$1" '
    BEGIN { while ((getline line < list) > 0) if (line !~ /^#/ && line != "") wanted[line] = 1 }
    /^[A-Za-z0-9]/ { name = tolower($1); sub(/[=;].*/, "", name); gsub(/[_.]/, "-", name); take = name in wanted
                     if (take) found[name] = 1 }
    take { print }
    END { for (name in wanted) if (!(name in found)) { print name " is not in the lock" > "/dev/stderr"; bad = 1 }; exit bad }
  ' requirements/cpu.txt > "$2"
}

site() {  # FILE FOLDER: install the packages that FILE lists, for Python 3.12
  locked "$1" "$scratch/lock.txt"
  "$uv" pip install --quiet --no-deps --require-hashes --only-binary :all: --python-version 3.12 \
    --python-platform x86_64-manylinux_2_28 --target "$2" -r "$scratch/lock.txt"
  # Scripts, which training does not need.
  rm -rf "$2"/bin
  # The folder has to be named site-packages: otherwise dill, which datasets uses for fingerprints, pickles whole modules.
  find "$2" -name __pycache__ -prune -exec rm -rf {} +
}

clips() {  # INTO FOLDER…: copy complete sets of clips
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
