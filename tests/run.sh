#!/usr/bin/env bash
# The one test command: installs what the tests need (see setup.sh), then runs all of them.
#
#   tests/run.sh                       everything
#   tests/run.sh -E 'test(/^paho::/)'  arguments go to `cargo nextest run`
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tests/setup.sh
export PATH=$PWD/tests/.tools/cargo/bin:$PATH

cargo nextest run "$@"
# What nextest does not run: the examples in the documentation.
cargo test --doc --quiet
