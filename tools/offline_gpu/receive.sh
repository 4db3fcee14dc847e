#!/usr/bin/env bash
# Runs on the GPU machine at the start of every call. Takes the part that came with the call (.gpu/N), and unpacks each
# archive when its last piece has arrived. Prints which pieces are missing. Fails if a piece is damaged.
# When the speech engines have arrived, speech begins in the background, in its own session, and continues between calls.
#
#   tools/offline_gpu/receive.sh              (GPU_HOME is the folder for everything [/tmp/speechsum-gpu]; SPEAK=0: no speech)
#
# The code is copied to $GPU_HOME/code, because the next call replaces the working tree while the background still runs.
set -euo pipefail

unpack() {  # ARCHIVE FOLDER: with Python, because the machine may have no xz
  mkdir -p "$2"
  "${PYTHON:-python3}" -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2], filter="tar")' "$1" "$2"
}

arrived() {  # ARCHIVE: unpack it if it is complete. Otherwise print how many pieces are missing, and fail
  local archive=$1 missing=0 name
  [ ! -e "$home/$archive.done" ] || return 0
  grep -q "  $archive\." manifest || return 0
  while read -r _ name; do
    case $name in "$archive".*) [ -f "$name" ] || missing=$((missing + 1));; esac
  done < manifest
  if [ "$missing" -gt 0 ]; then echo "$archive: $missing pieces to come"; return 1; fi
  # The caller disables `set -e`, so every step is checked.
  cat "$archive".[0-9]* > "$home/$archive" && unpack "$home/$archive" "$home" || exit 1
  rm -f "$home/$archive" "$archive".[0-9]*
  [ ! -f "$home/site.tar.xz" ] || unpack "$home/site.tar.xz" "$home" || exit 1
  rm -f "$home/site.tar.xz"
  touch "$home/$archive.done"
  echo "$archive: unpacked"
}

code_of() {  # TREE: print the names of its code files
  (cd "$1" && find app model_repo tools training -type f ! -name '*.safetensors' ! -path '*/__pycache__/*' | sort)
}

main() {
  local here part digest
  here=$(cd "$(dirname "$0")/../.." && pwd)
  home=${GPU_HOME:-/tmp/speechsum-gpu}
  mkdir -p "$home/parts" "$home/code"
  digest=$(code_of "$here" | (cd "$here" && xargs -d '\n' sha256sum) | sha256sum)
  if [ "$digest" != "$(cat "$home/code.digest" 2> /dev/null)" ]; then
    rm -rf "$home/code/app" "$home/code/model_repo" "$home/code/tools" "$home/code/training"
    code_of "$here" | tar -C "$here" -cf - -T - | tar -C "$home/code" -xf -
    echo "$digest" > "$home/code.digest"
  fi
  cd "$home/parts"
  for part in "$here"/.gpu/*/; do
    [ -f "$part/manifest" ] || continue
    if [ -f manifest ] && ! cmp -s manifest "$part/manifest"; then
      echo "this part is of another packing than those before it" >&2
      exit 1
    fi
    (cd "$part" && sha256sum --check --quiet --ignore-missing manifest)
    mv -f "$part"/* .
  done
  [ -f manifest ] || { echo "no part has come yet" >&2; exit 1; }
  arrived voice.tar.xz || true
  arrived model.tar || true
  arrived spoken.tar || true
  if [ -e "$home/voice.tar.xz.done" ] && [ "${SPEAK:-1}" = 1 ] && [ ! -e "$home/speaking" ]; then
    touch "$home/speaking"
    # It does not use $OUT of this call, because the next call empties that.
    GPU_HOME=$home OUT=$home/out STAGES=speech setsid "$home/code/tools/offline_gpu/run.sh" > "$home/speaking" 2>&1 < /dev/null &
    echo "speech: begun in the background"
  fi
  echo "speech: $(cat "$home"/work/speech/*/clips.jsonl 2> /dev/null | wc -l) clips so far"
}
main "$@"
exit
