/* What every function answers that it must not do: NULL, keys of nothing, other threads, callbacks, a child of fork(2), a service that was freed.
 * One row for each function; run with --names it says which there are. */
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

/* What is taken over is taken over whatever the call answers: each gets a descriptor of its own. */
static int32_t call_lwx_adopt(lwx_service *s, lwx_key k) {
  (void)k;
  return lwx_adopt(s, dup(0), &handler, &out);
}
static int32_t call_lwx_watch(lwx_service *s, lwx_key k) {
  (void)k;
  return lwx_watch(s, dup(0), on_ready, NULL, NULL, &out);
}

enum {
  /* It drives the service, so that no callback may call it, and a child of fork(2) neither. */
  DRIVES = 1,
  /* It has a key. */
  KEYED = 2,
  /* It is for what is lent in callbacks, and says so elsewhere. */
  LENT = 4,
  /* It describes a service that is not started. */
  DESCRIBES = 8
};

static const struct row {
  const char *name;
  int32_t (*call)(lwx_service *service, lwx_key key);
  int traits;
} rows[] = {
#define ROW(name, traits) {#name, call_##name, traits}
    ROW(lwx_listen, DESCRIBES), ROW(lwx_route, DESCRIBES), ROW(lwx_raw_fallback, DESCRIBES), ROW(lwx_files, DESCRIBES),
    ROW(lwx_protocol, DESCRIBES), ROW(lwx_sites, DESCRIBES), ROW(lwx_sites_directory, DESCRIBES), ROW(lwx_service_start, DESCRIBES), ROW(lwx_service_address, 0), ROW(lwx_tls_reload, 0), ROW(lwx_service_fd, DRIVES),
    ROW(lwx_service_deadline, DRIVES), ROW(lwx_service_dispatch, DRIVES), ROW(lwx_service_dispatch_within, DRIVES), ROW(lwx_service_run, DRIVES),
    ROW(lwx_service_set_host, DRIVES), ROW(lwx_service_ready, DRIVES), ROW(lwx_service_pollfd, DRIVES),
    ROW(lwx_service_attach_uv, 0), ROW(lwx_service_attach_uv_of, 0), ROW(lwx_service_detach_uv, DRIVES), ROW(lwx_service_drain, 0), ROW(lwx_service_stop, 0),
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

static void expect(const char *when, const char *name, int32_t answer, int32_t expected) {
  checked++;
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
  lwx_service_free(NULL);
  lwx_poster_free(NULL);
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

enum { CALLED, FREED } in_callback;
static int was_called;

static void on_request(lwx_service *service, lwx_key key, uint32_t flags, void *user) {
  size_t at;
  (void)flags;
  (void)user;
  was_called = 1;
  if (in_callback == FREED)
    lwx_service_free(service);
  for (at = 0; at < ROWS; at++) {
    if (in_callback == FREED)
      expect("after it was freed", rows[at].name, rows[at].call(service, key), LWX_E_GONE);
    else if (rows[at].traits & DRIVES)
      expect("inside a callback", rows[at].name, rows[at].call(service, key), LWX_E_RECURSIVE);
    else if (rows[at].traits & LENT)
      expect("about another stream", rows[at].name, rows[at].call(service, key + 1), LWX_E_STATE);
    else if (rows[at].traits & KEYED)
      expect("a key of nothing in a callback", rows[at].name, rows[at].call(service, 77), LWX_E_STALE);
  }
  if (in_callback == CALLED)
    expect("inside a callback", "lwx_respond", lwx_respond(service, key, 204, NULL, 0, NULL, 0, LWX_END), 0);
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
  test_null();
  service = started(&port);
  test_states(service);
  pthread_create(&thread, NULL, on_thread, service);
  pthread_join(thread, NULL);
  test_fork(service);
  lwx_service_free(service);
  test_callbacks(CALLED);
  test_callbacks(FREED);
  test_posters();
  printf("%d answers, %d wrong\n", checked, failures);
  return failures ? 1 : 0;
}
