#!/usr/bin/env bash
# On the GPU machine, first thing in every call: takes in the part that came with it (.gpu/N), and unpacks each of the two
# archives as soon as its last piece is there. Says what is missing still; fails on a piece that is not what was packed.
#
#   training/gpu/receive.sh              (GPU_HOME is where all goes: /tmp/speechsum-gpu)
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

main() {
  local here part
  here=$(cd "$(dirname "$0")/../.." && pwd)
  home=${GPU_HOME:-/tmp/speechsum-gpu}
  mkdir -p "$home/parts" "$home/code"
  tar -C "$here" --exclude='*.safetensors' --exclude=__pycache__ -cf - app model_repo training | tar -C "$home/code" -xf -
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
}
main "$@"
exit
