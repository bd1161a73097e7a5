# Where things are built, kept and found. Sourced by scripts/test and by every step, so that a step can also be run by hand.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

export TARGET=${CARGO_TARGET_DIR:-$PWD/target}
# What each step of a run wrote.
export LOGS=$TARGET/test-logs
# What a run found out and somebody may want to keep: `docs/autobahn` holds copies, made on purpose.
export REPORTS=$TARGET/test-reports
export ENVIRONMENT=$TARGET/test-environment
export PYTHON=$ENVIRONMENT/python/bin/python
export NODE_MODULES=$ENVIRONMENT/node/node_modules
export LWSWS=${LWSWS:-$TARGET/release/lwsws}
export LWS_CLIENT=${LWS_CLIENT:-$TARGET/release/autobahn-client}
export LWS_TLS_CLIENT=${LWS_TLS_CLIENT:-$TARGET/release/tls-client}
export EXAMPLES=${EXAMPLES:-$TARGET/debug/examples}
export TLS_HOSTS=${TLS_HOSTS:-$EXAMPLES/tls_hosts}
export PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
export CARGO_TERM_COLOR=never
# Some sixty test programs link in half the time without debug information; a panic says where it was all the same.
export CARGO_PROFILE_DEV_DEBUG=0

# Seconds that a step may take: several times what the slowest needs on two cores with nothing built.
export STEP_SECONDS=3000

# The ready hosts for other people's loops, all of which are off by default.
LOOPS=$(printf 'lws-loop-external/%s,' async-io calloop glib libev libevent mio polling tokio)benches/loops,tests/loops
# The loop of the server that needs no library of the system.
LOOPS+=,lwsws/uring
# And the helpers of a server that bring a dependency, with the door for tests.
LOOPS+=,lws-server/full,lws-server/fuzz,lws-server/tracing,lwsws/acme,lwsws/tracing
# And the door of the C interface for the conformance kit.
LOOPS+=,lws-ffi/conformance
# The oracle of brokers' tests.
LOOPS+=,lws-broker/testing,lws-server/broker,lwsws/broker
export LOOPS

# Builds the examples of all crates, as the step `tests` does.
build_examples() {
  cargo build --workspace --features "$LOOPS" --examples
}

# The triple of this machine.
host_triple() {
  rustc -vV | sed -n 's/^host: //p'
}

# A port of the loopback address that is free at this moment.
free_port() {
  "$PYTHON" -c 'import sys; sys.path.insert(0, "tests/peers"); import checks; print(checks.free_port())'
}

# rust_tests REPORT ARGUMENT...: runs the tests that cargo's arguments select, but those in documentation, and keeps the report
# as REPORT.xml. cargo-nextest runs the tests of all programs beside each other and ends one that hangs; building it takes
# longer than it saves in one run, so where it is not installed the tests run one program after the other.
rust_tests() {
  local report=$REPORTS/$1.xml written=$TARGET/nextest/default/junit.xml status=0
  shift
  if ! cargo nextest --version >/dev/null 2>&1; then
    echo "cargo-nextest is not installed: one test program after the other"
    [[ " $* " == *" --test "* ]] || set -- --lib --bins --examples --tests "$@"
    cargo test --no-fail-fast "$@"
    return
  fi
  mkdir -p "$REPORTS"
  rm -f "$written"
  # A test that is ignored is a test that is left out: they run, too. Twice as many at once as there are processors, as most of them
  # wait for a peer or a clock.
  cargo nextest run --no-fail-fast --run-ignored all --no-tests fail --test-threads $((2 * $(nproc))) "$@" || status=$?
  [[ ! -e $written ]] || { cp "$written" "$report" && python3 scripts/lib/junit.py "$report"; }
  return "$status"
}
