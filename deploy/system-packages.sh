#!/usr/bin/env bash
# Installs the Debian packages that the tests use and that are missing: voices, jq for the documentation's examples,
# LibriVox clips with transcripts, a browser for the page, a clock that can be moved, and real Prometheus, PostgreSQL and
# nginx.
set -euo pipefail
packages=(chromium espeak-ng flite jq libfaketime libnuma1 nginx-light pocketsphinx-testdata postgresql prometheus
  prometheus-alertmanager)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
  echo "the tests need Debian packages that are missing: sudo apt-get install ${missing[*]}" >&2
  exit 1
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# Without this, the packages would start their own Prometheus, PostgreSQL and nginx on the usual ports.
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d.speechsum
had_policy=0; [ -e /usr/sbin/policy-rc.d ] && had_policy=1
[ $had_policy -eq 1 ] || { cp /usr/sbin/policy-rc.d.speechsum /usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d; }
trap 'rm -f /usr/sbin/policy-rc.d.speechsum; [ $had_policy -eq 1 ] || rm -f /usr/sbin/policy-rc.d' EXIT
apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
