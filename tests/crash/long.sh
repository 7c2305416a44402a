#!/usr/bin/env bash
# The long run: the broker is killed so many times (200 if not said) with each durability, from a seed that
# is new in each run and printed.
#
#   tests/crash/long.sh 200
#   tests/crash/long.sh 1000 -E 'test(write)'    further arguments go to `cargo nextest run`
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

export PATH=$PWD/tests/.tools/cargo/bin:$PATH
export POSTBUD_CRASH_KILLS=${1:-200} POSTBUD_CRASH_SEED=${POSTBUD_CRASH_SEED:-new}
# Optimised, but built in a fraction of the time that the broker's own release takes.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
cargo nextest run --release --test crash --profile fuzz --success-output final "${@:2}"
