#!/usr/bin/env bash
# On the GPU machine, first thing in every call: takes in the part that came with it (.gpu/N), and unpacks each of the two
# archives as soon as its last piece is there. Says what is missing still; fails on a piece that is not what was packed.
# When the voices have come, speech begins in the background, in a session of its own, so that it goes on between calls.
#
#   tools/offline_gpu/receive.sh              (GPU_HOME is where all goes: /tmp/speechsum-gpu; SPEAK=0 begins nothing)
#
# The code goes to $GPU_HOME/code: the next call replaces the working tree, under the feet of what runs in the background.
set -euo pipefail

unpack() {  # ARCHIVE FOLDER: by Python, since a bare machine may have no xz
  mkdir -p "$2"
  "${PYTHON:-python3}" -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2], filter="tar")' "$1" "$2"
}

arrived() {  # ARCHIVE: unpacked now or before? Otherwise says how many pieces are missing
  local archive=$1 missing=0 name
  [ ! -e "$home/$archive.done" ] || return 0
  grep -q "  $archive\." manifest || return 0
  while read -r _ name; do
    case $name in "$archive".*) [ -f "$name" ] || missing=$((missing + 1));; esac
  done < manifest
  if [ "$missing" -gt 0 ]; then echo "$archive: $missing pieces to come"; return 1; fi
  # Called where `set -e` does not reach: every step is asked for its success.
  cat "$archive".[0-9]* > "$home/$archive" && unpack "$home/$archive" "$home" || exit 1
  rm -f "$home/$archive" "$archive".[0-9]*
  [ ! -f "$home/site.tar.xz" ] || unpack "$home/site.tar.xz" "$home" || exit 1
  rm -f "$home/site.tar.xz"
  touch "$home/$archive.done"
  echo "$archive: unpacked"
}

code_of() {  # TREE: the names of its code's files
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
    # Not this call's $OUT: the next call empties it, and has its own.
    GPU_HOME=$home OUT=$home/out STAGES=speech setsid "$home/code/tools/offline_gpu/run.sh" > "$home/speaking" 2>&1 < /dev/null &
    echo "speech: begun in the background"
  fi
  echo "speech: $(cat "$home"/work/speech/*/clips.jsonl 2> /dev/null | wc -l) clips so far"
}
main "$@"
exit
