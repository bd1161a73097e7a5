# The Autobahn cases in both roles, on any carrier. Sourced by the steps that run them.
#
# A run writes its report to target/test-reports/autobahn and says so if its verdicts differ from the report that is kept in
# docs/autobahn. `cp target/test-reports/autobahn/*.md docs/autobahn/` accepts them.

# How many cases the groups 1 to 7, 9 and 10 hold: a case that is left out is a failure.
export AUTOBAHN_CASES=301
# Those that the whole run has, in every role and on every carrier: each size and fragmentation with each set of parameters (group 13), and
# with two kinds of data. The other three kinds of group 12 cost as much as all of these; `deflate-data` has them.
export DEFLATE_SPREAD=(12.1.* 12.3.*) DEFLATE_SPREAD_CASES=36 DEFLATE_DATA=(12.2.* 12.4.* 12.5.*) DEFLATE_DATA_CASES=54
# What a server is started with for them: it takes over contexts both ways.
export TAKEOVER=--deflate=server_no_context_takeover=0,client_no_context_takeover=0,threshold=0

# kept NAME: where a run keeps what it found.
kept() {
  echo --report "$REPORTS/autobahn/$1.md" --stored "docs/autobahn/$1.md" --details "$TARGET/autobahn/$1"
}

# autobahn_server NAME OPTIONS -- ARGUMENT...: our server with those options; the arguments are the suite's.
autobahn_server() {
  local name=$1 options=$2 port
  shift 3
  port=$(free_port)
  # shellcheck disable=SC2046 # names without spaces
  "$PYTHON" tests/peers/autobahn.py server --url "ws://127.0.0.1:$port/echo" --start "$LWSWS --port $port --quiet $options" \
    $(kept "$name") "$@"
}

# autobahn_client NAME OPTIONS -- ARGUMENT...: our client likewise.
autobahn_client() {
  local name=$1 options=$2
  shift 3
  # shellcheck disable=SC2046
  "$PYTHON" tests/peers/autobahn.py client --client "$LWS_CLIENT $options {url}" $(kept "$name") "$@"
}

# autobahn_through_nghttpx NAME BACKEND OPTIONS -- ARGUMENT...: the suite speaks HTTP/1.1 to nghttpx, which opens each WebSocket on a
# stream of HTTP/2: RFC 8441. BACKEND is what nghttpx is told of our server.
autobahn_through_nghttpx() {
  local name=$1 to_ours=$2 options=$3 port ours
  shift 4
  port=$(free_port)
  ours=$(free_port)
  # shellcheck disable=SC2046
  "$PYTHON" tests/peers/autobahn.py server --seconds "$STEP_SECONDS" --url "ws://127.0.0.1:$port/echo" $(kept "$name") "$@" \
    --backend "$ours" "$LWSWS --port $ours --quiet $options" \
    --start "nghttpx --conf=/dev/null --workers=1 --insecure --accesslog-file=/dev/null --frontend='127.0.0.1,$port;no-tls' \
      --backend='127.0.0.1,$ours;;$to_ours'"
}

# autobahn_through_proxy SCHEME OPTIONS ARGUMENT...: the suite speaks HTTP/1.1 to our proxy, which has those options and passes each
# WebSocket on to our server. Messages are compressed between the suite and the proxy alone.
autobahn_through_proxy() {
  local scheme=$1 options=$2 port ours
  shift 2
  port=$(free_port)
  ours=$(free_port)
  "$PYTHON" tests/peers/autobahn.py server --seconds "$STEP_SECONDS" --url "ws://127.0.0.1:$port/echo" "$@" \
    --backend "$ours" "$LWSWS --port $ours --quiet" --start "$LWSWS --port $port --quiet $options --proxy /=$scheme://127.0.0.1:$ours"
}
