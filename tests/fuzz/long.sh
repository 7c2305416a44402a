#!/usr/bin/env bash
# The long run: every target for so many seconds (60 if not said), from a seed that is new in each run.
#
#   tests/fuzz/long.sh 600                      all targets
#   tests/fuzz/long.sh 600 -E 'test(broker)'    further arguments go to `cargo nextest run`
#
# It prints cases and seeds; a case that fails prints the command that runs it again, and what is left of
# it once all that does not matter is taken away: a case for tests/fuzz/corpus.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

export PATH=$PWD/tests/.tools/cargo/bin:$PATH
export POSTBUD_FUZZ_SECONDS=${1:-60}
# Optimised, but built in a fraction of the time that the broker's own release takes.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
cargo nextest run --release --test fuzz --profile fuzz --success-output final "${@:2}"
