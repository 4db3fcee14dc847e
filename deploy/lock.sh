#!/usr/bin/env bash
# Resolves requirements/*.txt from pyproject.toml: pinned, hashed, for every Python from 3.11, with no index address in them.
#   deploy/lock.sh [UV]
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${1:-uv}
find_links=()
for place in ${PIP_FIND_LINKS:-}; do find_links+=(--find-links "$place"); done
for device in cpu gpu; do
  "$uv" pip compile --quiet pyproject.toml --extra "$device" --extra train --extra dev --universal "${find_links[@]}" \
    --generate-hashes --no-emit-index-url --no-annotate --no-header -o "requirements/$device.txt"
done
# A folder of wheels holds torch's CPU build for one Python only; its hash must not be asked of the builds for the others.
awk '/^torch==.*\+cpu/ { split($1, part, ";"); spec = part[1]
       print spec " ; python_full_version < \"3.12\" \\"; getline; sub(/ \\$/, ""); print
       print spec " ; python_full_version >= \"3.12\""; next } { print }' requirements/cpu.txt > requirements/cpu.new
mv requirements/cpu.new requirements/cpu.txt
if grep -nE 'https?://|file:' requirements/*.txt; then echo "an address stands in a lock" >&2; exit 1; fi
