# The one obvious way to do things; `just` alone lists them. Each recipe is a command or two that can be
# typed as well.

_default:
    @just --list --unsorted

# Format the source.
fmt:
    cargo fmt

# Refuse what the compiler, Clippy or rustdoc warn about.
lint:
    cargo fmt --check
    cargo clippy -- -D warnings
    cargo clippy --all-targets -- -D warnings
    RUSTDOCFLAGS='-D warnings' cargo doc --no-deps

# Run all tests, or those that the arguments choose: `just test -E 'test(/^paho::/)'`.
test *arguments:
    tests/run.sh {{arguments}}

# Measure against mosquitto: `just bench quick`, `just bench --only pairs-qos0`.
bench *arguments:
    cargo bench --bench brokers -- {{arguments}}

# Everything that has to pass before a merge.
ci:
    .ci/run
