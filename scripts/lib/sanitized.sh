# Builds with AddressSanitizer, in a folder of their own. Sourced by the steps that need them.

export SANITIZED=$TARGET/sanitized

# sanitized COMMAND...: cargo with AddressSanitizer. The runtime is the C compiler's: so the program may be Rust's or C's, and all
# steps share one build. The sanitizer is an unstable option of the compiler, which RUSTC_BOOTSTRAP opens on a stable toolchain.
sanitized() {
  local command=$1
  shift
  RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address -Zexternal-clangrt -Clink-arg=-fsanitize=address" CARGO_TARGET_DIR=$SANITIZED \
    cargo "$command" --target "$(host_triple)" "$@"
}
