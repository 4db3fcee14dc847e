#!/usr/bin/env bash
# Resolves requirements/*.txt from pyproject.toml: pinned, hashed, for every Python from 3.11, with no index address in them.
#   deploy/lock.sh [UV]
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${1:-uv}
find_links=()
for place in ${PIP_FIND_LINKS:-}; do find_links+=(--find-links "$place"); done
resolve() {  # FILE EXTRA…: write the lock of the project with these extras
  local file=$1 options=(); shift
  # The serving lock has the same versions as the full one, because the tests run with that one.
  if [[ $file = serve-* ]]; then options+=(--constraint "requirements/${file#serve-}.txt"); fi
  for extra in "$@"; do
    # On a GPU, torch's companion packages are built for CUDA and needed; for a CPU, pyproject.toml excludes them.
    if [ "$extra" = gpu ]; then options+=(--no-config); fi
    options+=(--extra "$extra")
  done
  "$uv" pip compile --quiet pyproject.toml "${options[@]}" --universal "${find_links[@]}" --generate-hashes \
    --no-emit-index-url --no-annotate --no-header -o "requirements/$file.txt"
}
for device in cpu gpu; do
  resolve "$device" "$device" s3 train dev
  resolve "serve-$device" "$device" s3
done
# What checks the images and the chart; its packages' own dependencies are in the main environment.
"$uv" pip compile --quiet requirements/deploy-tools.in --no-config --no-deps --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements/deploy-tools.txt
# A folder of wheels has torch's CPU build for one Python only, so its hash must not be required for other Pythons.
# (The serving lock keeps it unchanged, because the image has that one Python.)
awk '/^torch==.*\+cpu/ { split($1, part, ";"); spec = part[1]
       print spec " ; python_full_version < \"3.12\" \\"; getline; sub(/ \\$/, ""); print
       print spec " ; python_full_version >= \"3.12\""; next } { print }' requirements/cpu.txt > requirements/new
mv requirements/new requirements/cpu.txt
if grep -nE 'https?://|file:' requirements/*.txt; then echo "a lock file contains an address" >&2; exit 1; fi
