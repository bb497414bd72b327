#!/usr/bin/env bash
# Installs what a checkout needs on a Debian machine: its own virtual environment and the host packages.
# Usage: setup.sh REQUIREMENTS [tests]. Does nothing, quickly, when everything is there.
set -euo pipefail
requirements=$1
for_tests=${2:-}
cd "$(dirname "$0")/../.."
as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo)

say() { printf '\033[2m%s\033[0m %s\n' "[setup]" "$*" >&2; }
[ -t 2 ] || say() { printf '[setup] %s\n' "$*" >&2; }

apt_install() {
  say "installing $* (apt-get)"
  local log policy=/usr/sbin/policy-rc.d
  log=$(mktemp)
  # The tests make a PostgreSQL cluster of their own: the package need not make one for the machine.
  if [[ " $* " == *" postgresql "* && ! -e /etc/postgresql-common ]]; then
    "${as_root[@]}" mkdir -p /etc/postgresql-common
    echo 'create_main_cluster = false' | "${as_root[@]}" tee /etc/postgresql-common/createcluster.conf >/dev/null
  fi
  # The tests start servers of their own (sshd, PostgreSQL): a machine that gets the packages from here need not run them.
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" install -m 755 /dev/stdin $policy
    trap '"${as_root[@]}" rm -f '$policy EXIT
  fi
  if ! { "${as_root[@]}" apt-get update -q &&
         "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y \
           --no-install-recommends -o Dpkg::Options::=--force-confold "$@"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    say "apt-get failed: mend what it says above and run the same command again (the whole log: $log)"
    exit 1
  fi
  rm -f "$log"
}

if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  say "Python 3.11 or newer is needed: apt-get install python3"
  exit 1
fi
python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv

stamp=.venv/.installed-$(cat requirements.txt "$requirements" | sha256sum | cut -c1-16)
if [ ! -e "$stamp" ]; then
  [ -x .venv/bin/python ] || { say "making the virtual environment"; python3 -m venv .venv; }
  say "installing $requirements (pip)"
  .venv/bin/python -m pip install -qq --disable-pip-version-check -r "$requirements"
  touch "$stamp"
fi

mapfile -t missing < <(.venv/bin/python -m bot.local.packages ${for_tests:+--tests})
[ "${#missing[@]}" = 0 ] || apt_install "${missing[@]}"
