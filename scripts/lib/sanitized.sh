# Builds with AddressSanitizer, in a folder of their own. Sourced by the steps that need them.

export SANITIZED=$TARGET/sanitized

# sanitized COMMAND...: cargo with AddressSanitizer. The runtime is the C compiler's, linked into Rust's programs and C's alike: so all steps
# share one build. The sanitizer is an unstable option of the compiler, which RUSTC_BOOTSTRAP opens on a stable toolchain.
sanitized() {
  local command=$1 runtime flags
  shift
  runtime=$(cc -print-file-name=libasan.a)
  flags=(
    -Zsanitizer=address
    -Zexternal-clangrt
    "-Clink-arg=-Wl,--whole-archive,$runtime,--no-whole-archive"
    -Clink-arg=-Wl,--export-dynamic
    -Clink-arg=-lm
    -Clink-arg=-lstdc++
  )
  RUSTC_BOOTSTRAP=1 RUSTFLAGS="${flags[*]}" CARGO_TARGET_DIR=$SANITIZED cargo "$command" --target "$(host_triple)" "$@"
}
