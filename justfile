# A face over cargo and `cargo xtask`; everything works without just.

# List the commands
default:
    @just --list

# Every check, as .ci/run does it
ci:
    cargo xtask ci

# Types and lints
check:
    cargo clippy --workspace --all-targets --all-features -- -D warnings

# All tests and doctests; `just test NAME` runs those whose name contains NAME
test *names:
    cargo test --workspace {{names}}

# The whole story on anvil, an Ethereum node that is not ours
anvil *names:
    cargo xtask anvil {{names}}

# Clients, gates and facilitators of others and ours against each other; `--write` notes it in docs/interop.md
interop *flags:
    cargo xtask interop {{flags}}

# The rules of the house
tidy:
    cargo xtask tidy

# Each published crate with no feature, each feature alone, and all
features:
    cargo xtask features

# Build each published crate from its own package
package *flags:
    cargo xtask package {{flags}}

# Simulate gate, engine and client: N seeds, from SEED on
sim n="10000" *seed:
    cargo xtask sim {{n}} {{seed}}

# Kill processes under load, N times; the result goes to docs/trials.md
torture n="200" *seed:
    cargo xtask torture {{n}} {{seed}}

# Fuzz the decoders of untrusted bytes: one TARGET or all, SECONDS each; `just fuzz keep` makes the corpora anew
fuzz *target:
    cargo xtask fuzz {{target}}

# The measurements, from a release build
bench *names:
    cargo xtask bench {{names}}

# Format everything
fmt:
    cargo fmt --all

# The demonstration
quickstart:
    cargo run -p h402-examples --bin quickstart

# The Solana RPC proxy on chains of its own
proxy:
    cargo run -p h402-examples --bin solana-rpc-proxy
