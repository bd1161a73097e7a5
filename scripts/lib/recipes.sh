# What the steps for the folder `recipes` share. Sourced by them.

# The C interface, as it is installed.
stage=$TARGET/recipes-stage
RECIPES=$TARGET/recipes
rm -rf "$stage" "$RECIPES"
mkdir -p "$RECIPES"
PREFIX=/usr scripts/install-capi "$stage" --dev
export PKG_CONFIG_PATH=$stage/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$stage
export LD_LIBRARY_PATH=$stage/usr/lib LWX_LIBRARY=$stage/usr/lib/liblwx.so
failed=0
stalled=()

# packages KIND:WHAT:NAME...: installs those Debian packages whose command or file is not there.
packages() {
  local entry kind what missing=() as_root=()
  for entry; do
    IFS=: read -r kind what _ <<<"$entry"
    case $kind in
      command) command -v "$what" >/dev/null || missing+=("${entry##*:}") ;;
      file) [[ -e $what ]] || missing+=("${entry##*:}") ;;
    esac
  done
  ((${#missing[@]} > 0)) || return 0
  echo "missing: ${missing[*]}"
  [[ $EUID == 0 ]] || as_root=(sudo -n)
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    -o DPkg::Lock::Timeout=600 "${missing[@]}"
}

# compile_c OUTPUT SOURCE FLAG...
compile_c() {
  local output=$1 source=$2
  shift 2
  cc -std=gnu11 -g -Wall -Wextra -Werror -Irecipes -Ilws-ffi/examples -o "$output" "$source" "$@" $(pkg-config --cflags --libs lwx)
}

# recipe NAME COMMAND...: starts a program with an address, in the place of {} or at the end, and drives it with foreign peers; and beside that
# another one that is stopped for a while.
recipe() {
  "$PYTHON" tests/peers/recipes.py --stalled "$@" &
  stalled+=($!)
  drive "$@"
}

# drive NAME COMMAND...: without the other one.
drive() {
  "$PYTHON" tests/peers/recipes.py "$@" || failed=1
}

# Ends the step.
finish() {
  local program
  for program in "${stalled[@]}"; do
    wait "$program" || failed=1
  done
  exit "$failed"
}
