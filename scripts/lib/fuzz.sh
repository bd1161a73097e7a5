# Fuzz targets with libFuzzer and AddressSanitizer. Sourced by scripts/fuzz and scripts/fuzz-smoke.
#
# The corpus that is kept is fuzz/corpus. New inputs stay below the target folder, and so does an input that fails:
# target/fuzz/artifacts.

source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

FUZZ=$TARGET/fuzz
# Memory that a target may use, MiB, and seconds for one input.
FUZZ_LIMITS=(-rss_limit_mb=2048 -timeout=10)

# The names of all targets.
fuzz_targets() {
  cargo metadata --manifest-path fuzz/Cargo.toml --no-deps --format-version 1 |
    python3 -c 'import json, sys
for package in json.load(sys.stdin)["packages"]:
    for target in package["targets"]:
        if "bin" in target["kind"]:
            print(target["name"])'
}

# Builds all targets. The sanitizer is an unstable option of the compiler. RUSTC_BOOTSTRAP opens it on a stable toolchain;
# nothing but these builds, in a folder of their own, is made that way.
fuzz_build() {
  local flags=(
    -Zsanitizer=address
    -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
    -Ccodegen-units=1
    -Cdebug-assertions
    --cfg fuzzing
  )
  RUSTC_BOOTSTRAP=1 RUSTFLAGS="${flags[*]}" CARGO_TARGET_DIR=$FUZZ \
    cargo build --release --manifest-path fuzz/Cargo.toml --target "$(host_triple)" --bins
}

# fuzz_one TARGET SECONDS SEED: runs a target, which ends with 0 if it has found nothing. A seed of 0 is a fresh one.
fuzz_one() {
  local name=$1 kept=fuzz/corpus/$1
  local folders=("$FUZZ/corpus/$name")
  mkdir -p "$FUZZ/corpus/$name" "$FUZZ/artifacts/$name" "$FUZZ/logs"
  [[ ! -d $kept ]] || folders+=("$kept")
  "$(fuzz_program "$name")" -max_total_time="$2" -seed="$3" "${FUZZ_LIMITS[@]}" -print_final_stats=1 \
    -artifact_prefix="$FUZZ/artifacts/$name/" "${folders[@]}" >"$FUZZ/logs/$name.log" 2>&1
}

fuzz_program() {
  echo "$FUZZ/$(host_triple)/release/$1"
}

# fuzz_result TARGET STATUS: says what a run found, in one line if it is nothing; fails if it is something, or if nothing ran.
fuzz_result() {
  local name=$1 status=$2 log=$FUZZ/logs/$1.log runs
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  if ((status == 0)) && ((${runs:-0} > 0)); then
    echo "ok   fuzz $name: $runs runs, $(grep -oE 'cov: [0-9]+ ft: [0-9]+ corp: [^ ]+' "$log" | tail -1)"
    return
  fi
  echo "FAIL fuzz $name"
  grep -vE '^#[0-9]+|NEW_FUNC|^"' "$log" | tail -60
  return 1
}

# fuzz_all COMMAND TARGET...: `COMMAND TARGET` for each, as many at a time as there are cores, each waited for by its own process
# id; prints the results as they come, and the closing line. COMMAND is a function.
fuzz_all() {
  local command=$1 cores passed=0 failed=0 first index status
  shift
  cores=$(nproc)
  for ((first = 1; first <= $#; first += cores)); do
    local batch=("${@:first:cores}") pids=()
    for index in "${!batch[@]}"; do
      "$command" "${batch[index]}" &
      pids+=($!)
    done
    for index in "${!batch[@]}"; do
      status=0
      wait "${pids[index]}" || status=$?
      if fuzz_result "${batch[index]}" "$status"; then
        passed=$((passed + 1))
      else
        failed=$((failed + 1))
      fi
    done
  done
  echo "$passed passed, $failed failed"
  ((failed == 0 && passed > 0))
}
