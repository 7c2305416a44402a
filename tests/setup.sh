#!/usr/bin/env bash
# Brings everything the tests need that Cargo does not: clients that others wrote, and tools.
#
# Made for Debian 12 with a Rust toolchain; elsewhere it says what is missing. What is there already is
# left alone, so the second run takes no time and needs no network. Debian's packages need root; all else
# goes to tests/.tools, which git ignores, and leaves nothing outside of the checkout.
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=$here/.tools
log=$tools/setup.log
nextest_version=0.9.143

mkdir -p "$tools"
: >"$log"
# Debian keeps daemons in sbin, which is not on everybody's path.
export PATH=$tools/cargo/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin

fail() {
  printf 'tests/setup.sh: %s\n' "$*" >&2
  exit 1
}

# Runs a step in silence; shows what it said only if it fails.
quietly() {
  printf '\n$ %s\n' "$*" >>"$log"
  if ! "$@" >>"$log" 2>&1; then
    tail -n 40 "$log" >&2
    fail "this failed: $*   (all of it: $log)"
  fi
}

# The Debian packages of the commands that are missing here.
missing_packages() {
  local command package
  while read -r command package; do
    command -v "$command" >/dev/null 2>&1 || printf '%s\n' "$package"
  done <<'NEEDED'
cc gcc
make make
mosquitto_pub mosquitto-clients
mosquitto_sub mosquitto-clients
mosquitto mosquitto
chromium chromium
haproxy haproxy
promtool prometheus
node nodejs
npm npm
NEEDED
  # Python has venv built in, but Debian cuts pip out of it.
  python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || printf 'python3\npython3-venv\n'
}

# Installs Debian packages without starting the services that some of them bring: only their programs
# are wanted, and their ports are the ones a broker's user is about to use.
install_packages() {
  local policy=/usr/sbin/policy-rc.d own_policy=no enabled=() unit
  for unit in mosquitto prometheus haproxy; do
    command -v "$unit" >/dev/null 2>&1 || enabled+=("$unit.service")
  done
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 0755 "$policy"
    own_policy=yes
    # shellcheck disable=SC2064 # the path is meant as it is now
    trap "rm -f '$policy'" EXIT
  fi
  quietly apt-get update
  quietly env DEBIAN_FRONTEND=noninteractive \
    apt-get install --yes --no-install-recommends "$@"
  if [ "$own_policy" = yes ]; then
    rm -f "$policy"
    trap - EXIT
  fi
  # Nor at the next boot.
  if [ -d /run/systemd/system ] && [ "${#enabled[@]}" -gt 0 ]; then
    systemctl disable "${enabled[@]}" >>"$log" 2>&1 || true
  fi
}

debian() {
  local missing packages
  missing=$(missing_packages | sort -u)
  [ -n "$missing" ] || return 0
  mapfile -t packages <<<"$missing"
  command -v apt-get >/dev/null 2>&1 ||
    fail "no apt-get here; install by hand what Debian calls: ${packages[*]}"
  [ "$(id -u)" -eq 0 ] ||
    fail "please run as root once: apt-get install --no-install-recommends ${packages[*]}"
  printf 'tests/setup.sh: installing %s\n' "${packages[*]}" >&2
  install_packages "${packages[@]}"
}

# A virtual environment with a package of Python, made anew when a pinned version changes.
python() {
  local wanted=$here/clients/$1/requirements.txt venv=$tools/$1 module=$2
  cmp -s "$wanted" "$venv/requirements.txt" && "$venv/bin/python" -c "import $module" 2>/dev/null &&
    return 0
  rm -rf "$venv"
  quietly python3 -m venv "$venv"
  quietly "$venv/bin/python" -m pip install --disable-pip-version-check --require-hashes -r "$wanted"
  cp "$wanted" "$venv/requirements.txt"
}

# MQTT.js with all it depends on, as the lock file says.
javascript() {
  local wanted=$here/clients/mqttjs modules=$tools/mqttjs
  cmp -s "$wanted/package-lock.json" "$modules/installed.json" && return 0
  rm -rf "$modules"
  mkdir -p "$modules"
  cp "$wanted/package.json" "$wanted/package-lock.json" "$modules/"
  quietly npm ci --prefix "$modules" --ignore-scripts --no-audit --no-fund
  cp "$wanted/package-lock.json" "$modules/installed.json"
}

# The test runner; a version that is there already is good enough.
runner() {
  command -v cargo >/dev/null 2>&1 || fail "no cargo here: install Rust first, https://rustup.rs"
  cargo nextest --version >/dev/null 2>&1 && return 0
  printf 'tests/setup.sh: building cargo-nextest, once; this takes some minutes\n' >&2
  quietly cargo install --locked --root "$tools/cargo" --version "$nextest_version" cargo-nextest
}

debian
python paho paho.mqtt
python pyjwt jwt
javascript
runner
