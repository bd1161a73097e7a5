/* A harness for fuzzers: bytes are a list of operations on one connection of each kind, and of what its peer sends.
 *
 * With a fuzzer: cc -fsanitize=fuzzer,address -DFUZZER engine_fuzz.c -llwx
 * By itself:     engine_fuzz [RUNS [SEED]] makes its own inputs, the same for the same seed.
 *
 * What must hold whatever comes: no call answers LWX_E_PANIC; what happens without new input is announced, and comes to an end; nothing follows
 * the end of a stream; a write without a permit takes nothing. */
#include <lwx_engine.h>

#include <stdio.h>
#include <stdlib.h>

#define STREAMS 64

struct run {
  const uint8_t *data;
  size_t size;
  uint64_t now;
  lwx_conn *conn;
  lwx_key keys[STREAMS];
  unsigned key_count;
  unsigned random;
};

#define MUST(condition)                                                       \
  do {                                                                        \
    if (!(condition)) {                                                       \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);         \
      abort();                                                                \
    }                                                                         \
  } while (0)

static unsigned next(struct run *run) {
  if (run->size == 0)
    return 0;
  run->size--;
  return *run->data++;
}

static int32_t good(int32_t code) {
  MUST(code != LWX_E_PANIC && code != LWX_E_RECURSIVE && code >= LWX_E_GONE);
  return code;
}

/* Not random at all, so that a run can be done again. */
static void fill(void *user, uint8_t *bytes, size_t size) {
  struct run *run = user;
  lwx_conn_interest interest;
  LWX_INIT(&interest);
  /* A call on the connection that is in a call is refused. There is none yet while it is made. */
  if (run->conn)
    MUST(lwx_conn_get_interest(run->conn, &interest) == LWX_E_RECURSIVE);
  while (size-- > 0)
    *bytes++ = (uint8_t)(run->random = run->random * 1103515245u + 12345u);
}

static void remember(struct run *run, lwx_key key) {
  unsigned at;
  for (at = 0; at < run->key_count; at++)
    if (run->keys[at] == key)
      return;
  if (run->key_count < STREAMS)
    run->keys[run->key_count++] = key;
}

static void on_event(struct run *run, const lwx_conn_event *event) {
  size_t at;
  unsigned char sum = 0;

  /* All that it points to is there. */
  for (at = 0; at < event->data.size; at++)
    sum ^= (unsigned char)event->data.data[at];
  for (at = 0; at < event->field_count; at++)
    sum ^= (unsigned char)(event->fields[at].name.size + event->fields[at].value.size);
  run->random ^= sum;
  if (event->kind == LWX_EVENT_CLOSED) {
    size_t budget = 1;
    MUST(good(lwx_conn_budget(run->conn, event->key, &budget)) == LWX_E_STALE);
    return;
  }
  remember(run, event->key);
  if (event->kind == LWX_EVENT_REQUEST && event->flags & LWX_OPENING && next(run) % 4)
    good(lwx_conn_accept_websocket(run->conn, event->key, NULL, NULL, 0));
}

static void deliver(struct run *run) {
  lwx_conn_event event;
  unsigned count = 0;
  LWX_INIT(&event);
  while (good(lwx_conn_next_event(run->conn, &event)) > 0) {
    MUST(event.key != 0);
    on_event(run, &event);
    if (++count > 100000)
      MUST(!"it ends");
  }
}

static void receive(struct run *run) {
  size_t size = next(run) * 4u, at = 0, taken;
  const uint8_t *bytes = run->data;
  if (size > run->size)
    size = run->size;
  /* Taken out first: what events lead to reads on behind them. */
  run->data += size;
  run->size -= size;
  while (at < size) {
    good(lwx_conn_receive(run->conn, run->now, bytes + at, size - at, &taken));
    deliver(run);
    if (taken == 0)
      break;
    at += taken;
  }
}

static void transmit(struct run *run) {
  lwx_str bytes;
  size_t most = next(run) * 16u + 1;
  if (good(lwx_conn_transmit(run->conn, run->now, &bytes)) > 0) {
    MUST(bytes.size > 0);
    MUST(good(lwx_conn_transmitted(run->conn, run->now, bytes.size + 1)) == LWX_E_LENGTH);
    good(lwx_conn_transmitted(run->conn, run->now, bytes.size < most ? bytes.size : most));
  }
}

static void write_to(struct run *run, lwx_key key) {
  static const uint8_t bytes[600];
  size_t budget = 0;
  int32_t asked = good(lwx_conn_budget(run->conn, key, &budget));
  int32_t code = good(lwx_conn_write(run->conn, key, bytes, next(run) * 2u, next(run) & (LWX_END | LWX_TEXT)));
  if (asked == 0 && budget == 0)
    MUST(code < 0);
}

static void act(struct run *run) {
  lwx_key key = run->key_count ? run->keys[next(run) % run->key_count] : 0;
  lwx_field line = lwx_line("X-Run", "1");
  lwx_conn_request_options request;

  switch (next(run) % 12) {
  case 0: good(lwx_conn_respond(run->conn, key, 200, &line, 1, (const uint8_t *)"ok", 2, next(run) & LWX_END)); break;
  case 1: write_to(run, key); break;
  case 2: good(lwx_conn_want_write(run->conn, key)); break;
  case 3: good(lwx_conn_pause(run->conn, key)); break;
  case 4: good(lwx_conn_resume(run->conn, key)); break;
  case 5: good(lwx_conn_close(run->conn, key, 1000 + next(run) * 8u, "bye", 3)); break;
  case 6: good(lwx_conn_abort(run->conn, key)); break;
  case 7: good(lwx_conn_set_timer(run->conn, key, run->now + next(run) * 1000u)); break;
  case 8: good(lwx_conn_write(run->conn, key, (const uint8_t *)"alive?", 6, LWX_PING)); break;
  case 9: good(lwx_conn_drain(run->conn, run->now)); break;
  case 10: good(lwx_conn_received_end(run->conn, run->now, (int32_t)(next(run) % 4))); break;
  default:
    LWX_INIT(&request);
    request.method = "POST";
    request.target = "/";
    request.host = "a";
    request.fields = &line;
    request.field_count = 1;
    request.flags = next(run) & LWX_END;
    if (next(run) % 2)
      key = 0, good(lwx_conn_request(run->conn, run->now, &request, &key));
    else
      key = 0, good(lwx_conn_connect_websocket(run->conn, run->now, &request, &key));
    if (key)
      remember(run, key);
  }
}

/* What must hold between calls: without forced service there is no event, and once there are no more events there is none. */
static void settle(struct run *run) {
  lwx_conn_interest interest;
  lwx_conn_event event;
  LWX_INIT(&interest);
  LWX_INIT(&event);
  good(lwx_conn_get_interest(run->conn, &interest));
  if (good(lwx_conn_next_event(run->conn, &event)) > 0) {
    MUST(interest.flags & LWX_INTEREST_SERVICE);
    on_event(run, &event);
    deliver(run);
  }
  good(lwx_conn_get_interest(run->conn, &interest));
  MUST(!(interest.flags & LWX_INTEREST_SERVICE));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct run run;
  lwx_conn_options options;

  memset(&run, 0, sizeof run);
  run.data = data;
  run.size = size;
  LWX_INIT(&options);
  options.role = (int32_t)(next(&run) % 7);
  options.flags = next(&run) % 16;
  options.fill_random = fill;
  options.user = &run;
  MUST(lwx_conn_new(&options, 0, &run.conn) == 0);
  while (run.size > 0) {
    switch (next(&run) % 4) {
    case 0: receive(&run); break;
    case 1: transmit(&run); break;
    case 2:
      run.now += next(&run) * 100000u;
      good(lwx_conn_handle_timeout(run.conn, run.now));
      break;
    default: act(&run); break;
    }
    settle(&run);
  }
  lwx_conn_free(run.conn);
  return 0;
}

#ifndef FUZZER
/* What peers send, to be cut and put together: random bytes alone get nowhere. */
static const char *const PIECES[] = {
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\x81\x85\x01\x02\x03\x04\x69\x67\x6f\x68\x6e",
    "\x88\x82\x01\x02\x03\x04\x02\xea",
    "\x81\x05hello",
};

static unsigned long state;

static unsigned random_below(unsigned end) {
  state = state * 6364136223846793005ul + 1442695040888963407ul;
  return (unsigned)(state >> 33) % end;
}

static size_t make(uint8_t *input, size_t room) {
  size_t size = 0;
  unsigned parts = random_below(24);
  input[size++] = (uint8_t)random_below(256);
  input[size++] = (uint8_t)random_below(256);
  while (parts-- > 0) {
    const char *piece = PIECES[random_below(sizeof PIECES / sizeof *PIECES)];
    size_t length = strlen(piece), at;
    if (random_below(3) == 0) {
      for (at = random_below(12); at > 0 && size < room; at--)
        input[size++] = (uint8_t)random_below(256);
      continue;
    }
    if (size + length + 8 > room)
      break;
    input[size++] = 0; /* receive */
    input[size++] = (uint8_t)((length + 3) / 4);
    memcpy(input + size, piece, length);
    size += length;
    if (random_below(4) == 0)
      input[size - 1 - random_below((unsigned)length)] ^= (uint8_t)random_below(256);
  }
  return size;
}

int main(int argc, char **argv) {
  unsigned long runs = argc > 1 ? strtoul(argv[1], NULL, 10) : 2000, at;
  uint8_t input[4096];
  state = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
  for (at = 0; at < runs; at++)
    LLVMFuzzerTestOneInput(input, make(input, sizeof input));
  printf("%lu runs\n", runs);
  return 0;
}
#endif
