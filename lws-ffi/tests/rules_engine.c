/* What every function of the engine answers that it must not do: NULL, keys of nothing, calls inside fill_random; and a connection that moves
 * to another thread. One row for each function; run with --names it says which there are. */
#include <lwx_engine.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static lwx_conn_event event;
static lwx_conn_interest interest;
static lwx_conn_request_options request;
static lwx_str lent;
static size_t number;
static lwx_key key_out;

/* Each function once, with arguments that are right but for what a test is about. */
#define CALL(name, ...) \
  static int32_t call_##name(lwx_conn *c, lwx_key k) { \
    (void)k; \
    return name(__VA_ARGS__); \
  }

CALL(lwx_conn_receive, c, 1, (const uint8_t *)"", 0, &number)
CALL(lwx_conn_received_end, c, 1, LWX_END_ORDERLY)
CALL(lwx_conn_next_event, c, &event)
CALL(lwx_conn_transmit, c, 1, &lent)
CALL(lwx_conn_transmitted, c, 1, 0)
CALL(lwx_conn_get_interest, c, &interest)
CALL(lwx_conn_handle_timeout, c, 1)
CALL(lwx_conn_request, c, 1, &request, &key_out)
CALL(lwx_conn_connect_websocket, c, 1, &request, &key_out)
CALL(lwx_conn_accept_websocket, c, k, NULL, NULL, 0)
CALL(lwx_conn_respond, c, k, 200, NULL, 0, NULL, 0, LWX_END)
CALL(lwx_conn_write, c, k, (const uint8_t *)"x", 1, LWX_END)
CALL(lwx_conn_budget, c, k, &number)
CALL(lwx_conn_want_write, c, k)
CALL(lwx_conn_pause, c, k)
CALL(lwx_conn_resume, c, k)
CALL(lwx_conn_set_timer, c, k, 1)
CALL(lwx_conn_close, c, k, 1000, NULL, 0)
CALL(lwx_conn_abort, c, k)
CALL(lwx_conn_drain, c, 1)

enum {
  /* It has a key. */
  KEYED = 1,
  /* It is about the last event, and says so where that is another. */
  OF_EVENT = 2
};

static const struct row {
  const char *name;
  int32_t (*call)(lwx_conn *conn, lwx_key key);
  int traits;
} rows[] = {
#define ROW(name, traits) {#name, call_##name, traits}
    ROW(lwx_conn_receive, 0),           ROW(lwx_conn_received_end, 0),  ROW(lwx_conn_next_event, 0),
    ROW(lwx_conn_transmit, 0),          ROW(lwx_conn_transmitted, 0),   ROW(lwx_conn_get_interest, 0),
    ROW(lwx_conn_handle_timeout, 0),    ROW(lwx_conn_request, 0),       ROW(lwx_conn_connect_websocket, 0),
    ROW(lwx_conn_accept_websocket, OF_EVENT), ROW(lwx_conn_respond, KEYED), ROW(lwx_conn_write, KEYED),
    ROW(lwx_conn_budget, KEYED),        ROW(lwx_conn_want_write, KEYED), ROW(lwx_conn_pause, KEYED),
    ROW(lwx_conn_resume, KEYED),        ROW(lwx_conn_set_timer, KEYED), ROW(lwx_conn_close, KEYED),
    ROW(lwx_conn_abort, KEYED),         ROW(lwx_conn_drain, 0)};
#define ROWS (sizeof rows / sizeof *rows)

/* Those that no row fits: they make and free. */
static const char *const others[] = {"lwx_conn_new", "lwx_conn_free"};

static int failures, checked;

static void expect(const char *when, const char *name, int32_t answer, int32_t expected) {
  checked++;
  if (answer == expected)
    return;
  failures++;
  fprintf(stderr, "%s: %s answers %d (%s), not %d (%s)\n", when, name, (int)answer, lwx_strerror(answer), (int)expected,
          lwx_strerror(expected));
}

static lwx_conn *connection(const lwx_conn_options *options) {
  lwx_conn *conn;
  if (lwx_conn_new(options, 0, &conn) < 0) {
    fprintf(stderr, "no connection: %s\n", lwx_last_error());
    exit(2);
  }
  return conn;
}

static void test_null(void) {
  size_t at;
  for (at = 0; at < ROWS; at++)
    expect("no connection", rows[at].name, rows[at].call(NULL, 1), LWX_E_NULL);
  expect("nowhere to write to", "lwx_conn_new", lwx_conn_new(NULL, 0, NULL), LWX_E_NULL);
  lwx_conn_free(NULL);
}

static void test_keys(lwx_conn *conn) {
  static const lwx_key gone[] = {0, 77, UINT64_MAX, (lwx_key)1 << 32};
  size_t at, key;
  for (key = 0; key < sizeof gone / sizeof *gone; key++)
    for (at = 0; at < ROWS; at++) {
      if (rows[at].traits & KEYED)
        expect("a key of nothing", rows[at].name, rows[at].call(conn, gone[key]), LWX_E_STALE);
      if (rows[at].traits & OF_EVENT)
        expect("no such event", rows[at].name, rows[at].call(conn, gone[key]), LWX_E_STATE);
    }
}

/* A connection is of one thread at a time, and moves. */
static void *on_thread(void *conn) {
  static const char text[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
  expect("another thread", "lwx_conn_receive", lwx_conn_receive(conn, 1, (const uint8_t *)text, sizeof text - 1, &number), 0);
  expect("another thread", "lwx_conn_next_event", lwx_conn_next_event(conn, &event), 1);
  expect("another thread", "lwx_conn_respond", lwx_conn_respond(conn, event.key, 204, NULL, 0, NULL, 0, LWX_END), 0);
  return NULL;
}

static lwx_conn *filled;
static int fills;

static void fill(void *user, uint8_t *bytes, size_t size) {
  size_t at;
  (void)user;
  memset(bytes, 7, size);
  if (filled == NULL)
    return;
  fills++;
  for (at = 0; at < ROWS; at++)
    expect("inside fill_random", rows[at].name, rows[at].call(filled, 1), LWX_E_RECURSIVE);
  lwx_conn_free(filled);
}

static void test_inside(void) {
  lwx_conn_options options;
  LWX_INIT(&options);
  options.role = LWX_ROLE_CLIENT;
  expect("no fill_random", "lwx_conn_new", lwx_conn_new(&options, 0, &filled), LWX_E_NULL);
  options.fill_random = fill;
  filled = NULL;
  filled = connection(&options);
  request.target = "/";
  request.host = "localhost";
  expect("after fill_random", "lwx_conn_connect_websocket", lwx_conn_connect_websocket(filled, 1, &request, &key_out), 0);
  expect("fill_random", "is called", fills > 0, 1);
  expect("after fill_random", "lwx_conn_transmit", lwx_conn_transmit(filled, 1, &lent), 1);
  lwx_conn_free(filled);
}

int main(int argc, char **argv) {
  lwx_conn *conn;
  pthread_t thread;
  size_t at;
  if (argc > 1 && strcmp(argv[1], "--names") == 0) {
    for (at = 0; at < ROWS; at++)
      puts(rows[at].name);
    for (at = 0; at < sizeof others / sizeof *others; at++)
      puts(others[at]);
    return 0;
  }
  LWX_INIT(&event);
  LWX_INIT(&interest);
  LWX_INIT(&request);
  test_null();
  conn = connection(NULL);
  test_keys(conn);
  pthread_create(&thread, NULL, on_thread, conn);
  pthread_join(thread, NULL);
  lwx_conn_free(conn);
  test_inside();
  printf("%d answers, %d wrong\n", checked, failures);
  return failures ? 1 : 0;
}
