/* What every function answers that it must not do: NULL, keys of nothing, other threads, callbacks, a child of fork(2), a service that was freed.
 * keys of streams, timers and sockets that have ended. One row for each function; run with --names it says which there are. */
#include <lwx.h>
#include <lwx_engine.h>

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <unistd.h>

static lwx_handler handler;
static lwx_udp_handler udp_handler;
static struct lwx_host no_host;

static void on_posted(lwx_service *service, void *user) {
  (void)service;
  (void)user;
}

static void on_timer(lwx_service *service, lwx_key timer, void *user) {
  (void)service;
  (void)timer;
  (void)user;
}

static void on_ready(lwx_service *service, lwx_key key, uint32_t events, void *user) {
  (void)service;
  (void)key;
  (void)events;
  (void)user;
}

/* Each function once, with arguments that are right but for what a test is about. */
#define CALL(name, ...) \
  static int32_t call_##name(lwx_service *s, lwx_key k) { \
    (void)k; \
    return name(__VA_ARGS__); \
  }

static char text[256];
static size_t number;
static uint64_t moment;
static lwx_str lent;
static lwx_request request;
static lwx_service_stats stats;
static struct pollfd entry;
static void *pointer;
static lwx_key out;
static lwx_poster *made;

CALL(lwx_listen, s, "127.0.0.1:0", NULL, NULL)
CALL(lwx_route, s, LWX_ROUTE_HTTP, "/x", &handler)
CALL(lwx_raw_fallback, s, &handler)
CALL(lwx_files, s, "/f", ".", NULL)
CALL(lwx_protocol, s, "echo", &handler)
CALL(lwx_sites, s, "{}")
CALL(lwx_sites_directory, s, ".")
CALL(lwx_service_start, s)
CALL(lwx_service_address, s, 0, text, sizeof text)
CALL(lwx_tls_reload, s, 0)
CALL(lwx_service_fd, s)
CALL(lwx_service_deadline, s, &moment)
CALL(lwx_service_dispatch, s)
CALL(lwx_service_dispatch_within, s, 1000)
CALL(lwx_service_run, s)
CALL(lwx_service_set_host, s, NULL)
CALL(lwx_service_ready, s, 1, LWX_READ)
CALL(lwx_service_pollfd, s, &entry)
CALL(lwx_service_attach_uv, s, NULL)
CALL(lwx_service_attach_uv_of, s, NULL, 0, NULL, NULL)
CALL(lwx_service_detach_uv, s, NULL, NULL)
CALL(lwx_service_drain, s)
CALL(lwx_service_stop, s)
CALL(lwx_service_get_stats, s, &stats)
CALL(lwx_get_request, s, k, &request)
CALL(lwx_get_field, s, k, "host", 0, &lent)
CALL(lwx_get_parameter, s, k, "id", &lent)
CALL(lwx_get_peer, s, k, text, sizeof text)
CALL(lwx_respond, s, k, 200, NULL, 0, NULL, 0, LWX_END)
CALL(lwx_write, s, k, "x", 1, LWX_END)
CALL(lwx_budget, s, k, &number)
CALL(lwx_want_write, s, k)
CALL(lwx_pause, s, k)
CALL(lwx_resume, s, k)
CALL(lwx_set_timer, s, k, UINT64_MAX)
CALL(lwx_wake, s, k)
CALL(lwx_close, s, k, 1000, NULL, 0)
CALL(lwx_abort, s, k)
CALL(lwx_set_user, s, k, NULL, NULL)
CALL(lwx_get_user, s, k, &pointer)
CALL(lwx_subscribe, s, k, "topic")
CALL(lwx_unsubscribe, s, k, "topic")
CALL(lwx_publish, s, "topic", "x", 1, LWX_TEXT)
CALL(lwx_fetch, s, "http://127.0.0.1:1/", NULL, &handler, NULL)
CALL(lwx_connect_websocket, s, "ws://127.0.0.1:1/", NULL, &handler, NULL)
CALL(lwx_timer_set, s, UINT64_MAX / 2, on_timer, NULL, NULL, &out)
CALL(lwx_timer_cancel, s, k)
CALL(lwx_udp_bind, s, "127.0.0.1:0", &udp_handler, &out, NULL, 0)
CALL(lwx_udp_send, s, k, NULL, "x", 1)
CALL(lwx_poster_new, s, &made)

/* What is taken over is taken over whatever the call answers: each gets a descriptor of its own, of a socket that the system can watch. */
static int spare[2];

static int32_t call_lwx_adopt(lwx_service *s, lwx_key k) {
  (void)k;
  return lwx_adopt(s, dup(spare[0]), &handler, &out);
}
static int32_t call_lwx_watch(lwx_service *s, lwx_key k) {
  (void)k;
  return lwx_watch(s, dup(spare[0]), on_ready, NULL, NULL, &out);
}

enum {
  /* It drives the service, so that no callback may call it, and a child of fork(2) neither. */
  DRIVES = 1,
  /* It has a key. */
  KEYED = 2,
  /* It is for what is lent in callbacks, and says so elsewhere. */
  LENT = 4,
  /* It describes a service that is not started. */
  DESCRIBES = 8,
  /* Its row has no loop of libuv to give it. */
  NO_LOOP = 16,
  /* It is about TLS, which the listener has not got. */
  NO_TLS = 32,
  /* It ends the service, so that it comes last where others follow. */
  ENDS = 64
};

static const struct row {
  const char *name;
  int32_t (*call)(lwx_service *service, lwx_key key);
  int traits;
} rows[] = {
#define ROW(name, traits) {#name, call_##name, traits}
    ROW(lwx_listen, DESCRIBES), ROW(lwx_route, DESCRIBES), ROW(lwx_raw_fallback, DESCRIBES), ROW(lwx_files, DESCRIBES),
    ROW(lwx_protocol, DESCRIBES), ROW(lwx_sites, DESCRIBES), ROW(lwx_sites_directory, DESCRIBES), ROW(lwx_service_start, DESCRIBES), ROW(lwx_service_address, 0), ROW(lwx_tls_reload, NO_TLS), ROW(lwx_service_fd, DRIVES),
    ROW(lwx_service_deadline, DRIVES), ROW(lwx_service_dispatch, DRIVES), ROW(lwx_service_dispatch_within, DRIVES), ROW(lwx_service_run, DRIVES),
    ROW(lwx_service_set_host, DRIVES), ROW(lwx_service_ready, DRIVES), ROW(lwx_service_pollfd, DRIVES),
    ROW(lwx_service_attach_uv, NO_LOOP), ROW(lwx_service_attach_uv_of, NO_LOOP), ROW(lwx_service_detach_uv, DRIVES), ROW(lwx_service_drain, ENDS), ROW(lwx_service_stop, ENDS),
    ROW(lwx_service_get_stats, 0), ROW(lwx_get_request, LENT), ROW(lwx_get_field, LENT), ROW(lwx_get_parameter, LENT),
    ROW(lwx_get_peer, LENT), ROW(lwx_respond, KEYED), ROW(lwx_write, KEYED), ROW(lwx_budget, KEYED), ROW(lwx_want_write, KEYED),
    ROW(lwx_pause, KEYED), ROW(lwx_resume, KEYED), ROW(lwx_set_timer, KEYED), ROW(lwx_wake, KEYED), ROW(lwx_close, KEYED),
    ROW(lwx_abort, KEYED), ROW(lwx_set_user, KEYED), ROW(lwx_get_user, KEYED), ROW(lwx_subscribe, KEYED), ROW(lwx_unsubscribe, KEYED),
    ROW(lwx_publish, 0), ROW(lwx_fetch, 0), ROW(lwx_connect_websocket, 0), ROW(lwx_timer_set, 0), ROW(lwx_timer_cancel, KEYED),
    ROW(lwx_adopt, 0), ROW(lwx_watch, 0), ROW(lwx_udp_bind, 0), ROW(lwx_udp_send, KEYED), ROW(lwx_poster_new, 0)};
#define ROWS (sizeof rows / sizeof *rows)

/* Those that no row fits: they make and free, belong to any thread or move a service between them, or answer no code. */
static const char *const others[] = {"lwx_service_new",   "lwx_service_free",   "lwx_service_timeout_ms", "lwx_now_us",
                                     "lwx_poster_free",   "lwx_poster_post",    "lwx_poster_publish",     "lwx_poster_stop",
                                     "lwx_version",       "lwx_version_number", "lwx_features",           "lwx_strerror",
                                     "lwx_last_error",    "lwx_service_leave_thread", "lwx_service_enter_thread"};

static int failures, checked;

/* Which functions something has been expected of. */
#define OTHERS (sizeof others / sizeof *others)
static int row_seen[ROWS], other_seen[OTHERS];

static void see(const char *name) {
  size_t at;
  for (at = 0; at < ROWS; at++)
    row_seen[at] |= strcmp(rows[at].name, name) == 0;
  for (at = 0; at < OTHERS; at++)
    other_seen[at] |= strcmp(others[at], name) == 0;
}

static void expect(const char *when, const char *name, int32_t answer, int32_t expected) {
  checked++;
  see(name);
  if (answer == expected)
    return;
  failures++;
  fprintf(stderr, "%s: %s answers %d (%s), not %d (%s)\n", when, name, (int)answer, lwx_strerror(answer), (int)expected,
          lwx_strerror(expected));
}

static lwx_service *started(int *port) {
  lwx_service *service;
  char address[64];
  if (lwx_service_new(NULL, &service) < 0 || lwx_listen(service, "127.0.0.1:0", NULL, NULL) < 0 ||
      lwx_route(service, LWX_ROUTE_HTTP, "/", &handler) < 0 || lwx_service_start(service) < 0 ||
      lwx_service_address(service, 0, address, sizeof address) < 0) {
    fprintf(stderr, "no service: %s\n", lwx_last_error());
    exit(2);
  }
  *port = atoi(strrchr(address, ':') + 1);
  return service;
}

/* A connection with a request on it. */
static int ask(int port) {
  static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
  struct sockaddr_in address;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_port = htons((uint16_t)port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 || write(fd, request, sizeof request - 1) < 0)
    exit(2);
  return fd;
}

static void test_null(void) {
  size_t at;
  for (at = 0; at < ROWS; at++)
    expect("no service", rows[at].name, rows[at].call(NULL, 1), LWX_E_NULL);
  expect("no poster", "lwx_poster_post", lwx_poster_post(NULL, on_posted, NULL, NULL), LWX_E_NULL);
  expect("no poster", "lwx_poster_publish", lwx_poster_publish(NULL, "x", "x", 1, 0), LWX_E_NULL);
  expect("no poster", "lwx_poster_stop", lwx_poster_stop(NULL), LWX_E_NULL);
  expect("no service", "lwx_service_timeout_ms", lwx_service_timeout_ms(NULL), 0);
  expect("no service", "lwx_service_leave_thread", lwx_service_leave_thread(NULL), LWX_E_NULL);
  expect("no service", "lwx_service_enter_thread", lwx_service_enter_thread(NULL), LWX_E_NULL);
  expect("nowhere to write to", "lwx_service_new", lwx_service_new(NULL, NULL), LWX_E_NULL);
  /* These answer nothing, and return. */
  lwx_service_free(NULL);
  see("lwx_service_free");
  lwx_poster_free(NULL);
  see("lwx_poster_free");
}

/* Those that need nothing, and cannot fail. */
static void test_library(void) {
  uint64_t before = lwx_now_us();
  int32_t code;
  expect("the library", "lwx_version_number", lwx_version_number() == LWX_VERSION_NUMBER, 1);
  expect("the library", "lwx_version", lwx_version() != NULL && lwx_version()[0] != 0, 1);
  expect("the library", "lwx_features", (lwx_features() & LWX_FEATURE_DEFLATE) != 0, 1);
  expect("the library", "lwx_now_us", before > 0 && lwx_now_us() >= before, 1);
  expect("the library", "lwx_last_error", lwx_last_error() != NULL, 1);
  for (code = -20; code <= 2; code++)
    expect("any code", "lwx_strerror", lwx_strerror(code) != NULL && lwx_strerror(code)[0] != 0, 1);
}

static void test_states(lwx_service *service) {
  static const lwx_key gone[] = {0, 77, UINT64_MAX, (lwx_key)1 << 32};
  size_t at, key;
  for (at = 0; at < ROWS; at++) {
    if (rows[at].traits & DESCRIBES)
      expect("after the start", rows[at].name, rows[at].call(service, 0), LWX_E_STATE);
    for (key = 0; key < sizeof gone / sizeof *gone; key++) {
      if (rows[at].traits & KEYED)
        expect("a key of nothing", rows[at].name, rows[at].call(service, gone[key]), LWX_E_STALE);
      if (rows[at].traits & LENT)
        expect("outside of a callback", rows[at].name, rows[at].call(service, gone[key]), LWX_E_STATE);
    }
  }
}

static void *on_thread(void *service) {
  size_t at;
  for (at = 0; at < ROWS; at++)
    expect("another thread", rows[at].name, rows[at].call(service, 1), LWX_E_THREAD);
  expect("another thread", "lwx_service_timeout_ms", lwx_service_timeout_ms(service), 0);
  expect("another thread", "lwx_service_leave_thread", lwx_service_leave_thread(service), LWX_E_THREAD);
  expect("another thread", "lwx_service_enter_thread", lwx_service_enter_thread(service), LWX_E_THREAD);
  return NULL;
}

static void test_fork(lwx_service *service) {
  int status = -1;
  lwx_poster *of_parent;
  pid_t child;
  expect("before the fork", "lwx_poster_new", lwx_poster_new(service, &of_parent), 0);
  child = fork();
  if (child == 0) {
    size_t at;
    failures = 0;
    for (at = 0; at < ROWS; at++)
      expect("a child of fork", rows[at].name, rows[at].call(service, 1), LWX_E_FORKED);
    expect("a child of fork", "lwx_service_timeout_ms", lwx_service_timeout_ms(service), 0);
    expect("a child of fork", "lwx_service_leave_thread", lwx_service_leave_thread(service), LWX_E_FORKED);
    expect("a child of fork", "lwx_service_enter_thread", lwx_service_enter_thread(service), LWX_E_FORKED);
    expect("a child of fork", "lwx_poster_post", lwx_poster_post(of_parent, on_posted, NULL, NULL), LWX_E_FORKED);
    expect("a child of fork", "lwx_poster_publish", lwx_poster_publish(of_parent, "x", "x", 1, 0), LWX_E_FORKED);
    expect("a child of fork", "lwx_poster_stop", lwx_poster_stop(of_parent), LWX_E_FORKED);
    lwx_poster_free(of_parent);
    lwx_service_free(service);
    _exit(failures ? 1 : 0);
  }
  lwx_poster_free(of_parent);
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    fprintf(stderr, "the child of fork says %d\n", status);
    failures++;
  }
}

enum { CALLED, FREED, LATER } in_callback;
static int was_called;
/* The stream of the last request, and of one that has ended. */
static lwx_key last_key, ended_key;

/* What a function answers in a callback that is about `key`. */
static void call_inside(lwx_service *service, const struct row *row, lwx_key key) {
  if (row->traits & DRIVES)
    expect("inside a callback", row->name, row->call(service, key), LWX_E_RECURSIVE);
  else if (row->traits & LENT)
    expect("about another stream", row->name, row->call(service, key + 1), LWX_E_STATE);
  else if (row->traits & KEYED)
    expect("a key of nothing in a callback", row->name, row->call(service, 77), LWX_E_STALE);
  else if (row->traits & (DESCRIBES | NO_TLS))
    expect("inside a callback", row->name, row->call(service, key), LWX_E_STATE);
  else if (row->traits & NO_LOOP)
    expect("inside a callback", row->name, row->call(service, key), LWX_E_NULL);
  else
    expect("inside a callback", row->name, row->call(service, key), 0);
  lwx_poster_free(made);
  made = NULL;
}

static void on_request(lwx_service *service, lwx_key key, uint32_t flags, void *user) {
  size_t at;
  (void)flags;
  (void)user;
  was_called = 1;
  last_key = key;
  if (in_callback == FREED) {
    lwx_service_free(service);
    for (at = 0; at < ROWS; at++)
      expect("after it was freed", rows[at].name, rows[at].call(service, key), LWX_E_GONE);
    expect("after it was freed", "lwx_service_leave_thread", lwx_service_leave_thread(service), LWX_E_GONE);
    expect("after it was freed", "lwx_service_enter_thread", lwx_service_enter_thread(service), LWX_E_THREAD);
    expect("after it was freed", "lwx_service_timeout_ms", lwx_service_timeout_ms(service), 0);
    return;
  }
  for (at = 0; at < ROWS && ended_key != 0; at++)
    if (rows[at].traits & KEYED)
      expect("a stream that has ended, in a callback of the next one", rows[at].name, rows[at].call(service, ended_key), LWX_E_STALE);
  if (in_callback == CALLED) {
    for (at = 0; at < ROWS; at++)
      if (!(rows[at].traits & ENDS))
        call_inside(service, &rows[at], key);
    expect("inside a callback", "lwx_service_leave_thread", lwx_service_leave_thread(service), LWX_E_RECURSIVE);
    expect("inside a callback", "lwx_service_enter_thread", lwx_service_enter_thread(service), LWX_E_THREAD);
    expect("inside a callback", "lwx_service_timeout_ms", lwx_service_timeout_ms(service), 0);
  }
  expect("inside a callback", "lwx_respond", lwx_respond(service, key, 204, NULL, 0, NULL, 0, LWX_END), 0);
  for (at = 0; at < ROWS && in_callback == CALLED; at++)
    if (rows[at].traits & ENDS)
      call_inside(service, &rows[at], key);
}

static void test_callbacks(int how) {
  int port, fd, turns;
  lwx_service *service = started(&port);
  struct pollfd wait;
  in_callback = how;
  was_called = 0;
  fd = ask(port);
  wait.fd = lwx_service_fd(service);
  wait.events = POLLIN;
  for (turns = 0; turns < 1000 && !was_called; turns++) {
    int32_t code = lwx_service_dispatch(service);
    if (was_called && how == FREED)
      expect("the dispatch of a service that was freed", "lwx_service_dispatch", code, 0);
    else if (!was_called)
      poll(&wait, 1, 20);
  }
  expect("a request", "comes", was_called, 1);
  if (how == CALLED)
    lwx_service_free(service);
  close(fd);
}

/* Dispatches until a key finds nothing any more. */
static void run_until_gone(lwx_service *service, lwx_key key) {
  struct pollfd wait;
  int turns;
  wait.fd = lwx_service_fd(service);
  wait.events = POLLIN;
  for (turns = 0; turns < 1000 && lwx_get_user(service, key, &pointer) != LWX_E_STALE; turns++) {
    lwx_service_dispatch(service);
    poll(&wait, 1, 5);
  }
}

/* Keys of what was there and has ended. A place that is used again has another key, and the old one never finds what is there now. */
static void test_ended(void) {
  int port, fd;
  size_t at;
  lwx_service *service = started(&port);
  lwx_key first, timer, udp;
  in_callback = LATER;
  was_called = 0;
  ended_key = last_key = 0;
  fd = ask(port);
  while (!was_called)
    lwx_service_dispatch(service);
  first = last_key;
  run_until_gone(service, first);
  for (at = 0; at < ROWS; at++)
    if (rows[at].traits & KEYED)
      expect("a stream that has ended", rows[at].name, rows[at].call(service, first), LWX_E_STALE);
  close(fd);

  ended_key = first;
  was_called = 0;
  fd = ask(port);
  while (!was_called)
    lwx_service_dispatch(service);
  expect("the place of a stream that has ended", "is used again", (uint32_t)last_key == (uint32_t)first && last_key != first, 1);
  run_until_gone(service, last_key);
  close(fd);
  ended_key = 0;

  expect("a timer", "lwx_timer_set", lwx_timer_set(service, 1, on_timer, NULL, NULL, &timer), 0);
  run_until_gone(service, timer);
  expect("a timer that has been called", "lwx_timer_cancel", lwx_timer_cancel(service, timer), LWX_E_STALE);
  expect("a socket", "lwx_udp_bind", lwx_udp_bind(service, "127.0.0.1:0", &udp_handler, &udp, NULL, 0), 0);
  expect("a socket", "lwx_abort", lwx_abort(service, udp), 0);
  run_until_gone(service, udp);
  for (at = 0; at < ROWS; at++)
    if (rows[at].traits & KEYED)
      expect("a socket that is closed", rows[at].name, rows[at].call(service, udp), LWX_E_STALE);
  lwx_service_free(service);
}

#define POSTS 200

static lwx_poster *poster;
static int posted, dropped;

static void count_posted(lwx_service *service, void *user) {
  (void)service;
  posted += *(int *)user;
}

static void count_dropped(void *user) {
  __atomic_add_fetch(&dropped, 1, __ATOMIC_RELAXED);
  free(user);
}

static void *post_all(void *user) {
  int sent = 0;
  (void)user;
  while (sent < POSTS) {
    int *one = malloc(sizeof *one);
    int32_t code;
    *one = 1;
    code = lwx_poster_post(poster, count_posted, one, count_dropped);
    sent += code == 0;
    /* The mailbox is bounded: the service is given time. */
    if (code == LWX_E_LIMIT)
      usleep(1000);
    else if (code < 0)
      exit(3);
    if (lwx_poster_publish(poster, "nobody", "x", 1, 0) == LWX_E_GONE)
      exit(3);
  }
  return NULL;
}

/* The calls that any thread may make, from two at a time, with the service at work; then after its end. */
static void test_posters(void) {
  int port, turns, before;
  lwx_service *service = started(&port);
  pthread_t threads[2];
  struct pollfd wait;
  lwx_poster_new(service, &poster);
  wait.fd = lwx_service_fd(service);
  wait.events = POLLIN;
  pthread_create(&threads[0], NULL, post_all, NULL);
  pthread_create(&threads[1], NULL, post_all, NULL);
  for (turns = 0; turns < 100000 && posted < 2 * POSTS; turns++) {
    lwx_service_dispatch(service);
    poll(&wait, 1, 10);
  }
  pthread_join(threads[0], NULL);
  pthread_join(threads[1], NULL);
  expect("two threads", "all that was posted", posted, 2 * POSTS);
  lwx_service_free(service);
  before = dropped;
  expect("after the end", "lwx_poster_post", lwx_poster_post(poster, on_posted, malloc(4), count_dropped), LWX_E_GONE);
  expect("after the end", "its drop", dropped, before + 1);
  expect("after the end", "lwx_poster_stop", lwx_poster_stop(poster), LWX_E_GONE);
  lwx_poster_free(poster);
}

int main(int argc, char **argv) {
  lwx_service *service;
  pthread_t thread;
  size_t at;
  int port;
  if (argc > 1 && strcmp(argv[1], "--names") == 0) {
    for (at = 0; at < ROWS; at++)
      puts(rows[at].name);
    for (at = 0; at < sizeof others / sizeof *others; at++)
      puts(others[at]);
    return 0;
  }
  LWX_INIT(&handler);
  handler.request = on_request;
  LWX_INIT(&udp_handler);
  LWX_INIT(&no_host);
  LWX_INIT(&request);
  LWX_INIT(&stats);
  entry.fd = 0;
  entry.events = POLLIN;
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, spare) != 0)
    return 2;
  test_library();
  test_null();
  service = started(&port);
  test_states(service);
  pthread_create(&thread, NULL, on_thread, service);
  pthread_join(thread, NULL);
  test_fork(service);
  lwx_service_free(service);
  test_callbacks(CALLED);
  test_callbacks(FREED);
  test_ended();
  test_posters();
  for (at = 0; at < ROWS; at++)
    if (!row_seen[at])
      failures++, fprintf(stderr, "nothing is expected of %s\n", rows[at].name);
  for (at = 0; at < OTHERS; at++)
    if (!other_seen[at])
      failures++, fprintf(stderr, "nothing is expected of %s\n", others[at]);
  printf("%d answers, %d wrong\n", checked, failures);
  return failures ? 1 : 0;
}
