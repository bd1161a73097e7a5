/* The engine over pipes: a child process serves HTTP and an echoing WebSocket, the parent asks. Nothing else is between them, so that any
 * transport which carries bytes in order would do.
 *
 * Prints what the client sees, and ends with 0 if that is what it expects. */
#include <lwx_engine.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef void (*on_event)(lwx_conn *conn, const lwx_conn_event *event);

static uint64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static void check(int32_t code, const char *what) {
  if (code < 0) {
    fprintf(stderr, "%s: %s\n", what, lwx_strerror(code));
    exit(1);
  }
}

static void deliver(lwx_conn *conn, on_event handle) {
  lwx_conn_event event;
  LWX_INIT(&event);
  while (lwx_conn_next_event(conn, &event) > 0)
    handle(conn, &event);
}

static void send_queued(lwx_conn *conn, int out) {
  lwx_str bytes;
  while (lwx_conn_transmit(conn, now_us(), &bytes) > 0) {
    ssize_t written = write(out, bytes.data, bytes.size);
    if (written <= 0) {
      lwx_conn_received_end(conn, now_us(), LWX_END_FAILED);
      return;
    }
    check(lwx_conn_transmitted(conn, now_us(), (size_t)written), "transmitted");
  }
}

/* Receives once, whole. */
static void receive(lwx_conn *conn, int in, on_event handle) {
  uint8_t buffer[4096];
  ssize_t size = read(in, buffer, sizeof buffer);
  size_t at = 0, taken;
  if (size <= 0)
    lwx_conn_received_end(conn, now_us(), size == 0 ? LWX_END_ORDERLY : LWX_END_FAILED);
  while (size > 0 && at < (size_t)size) {
    check(lwx_conn_receive(conn, now_us(), buffer + at, (size_t)size - at, &taken), "receive");
    deliver(conn, handle);
    if (taken == 0)
      break; /* It wants no more: the connection is about to end. */
    at += taken;
  }
}

/* Moves bytes until the connection may be closed. */
static void drive(lwx_conn *conn, int in, int out, on_event handle) {
  for (;;) {
    struct pollfd wait;
    lwx_conn_interest interest;
    uint64_t now = now_us();
    int timeout = -1;

    deliver(conn, handle);
    send_queued(conn, out);
    LWX_INIT(&interest);
    check(lwx_conn_get_interest(conn, &interest), "interest");
    if (interest.flags & LWX_INTEREST_CLOSE)
      return;
    if (interest.flags & LWX_INTEREST_SERVICE)
      continue;
    if (interest.flags & LWX_INTEREST_SHUTDOWN && out >= 0) {
      close(out);
      out = -1;
    }
    if (interest.deadline_us != UINT64_MAX)
      timeout = interest.deadline_us <= now ? 0 : (int)((interest.deadline_us - now) / 1000u + 1);
    wait.fd = interest.flags & LWX_INTEREST_READ ? in : -1;
    wait.events = POLLIN;
    wait.revents = 0;
    poll(&wait, 1, timeout);
    if (wait.revents)
      receive(conn, in, handle);
    lwx_conn_handle_timeout(conn, now_us());
  }
}

static void server_event(lwx_conn *conn, const lwx_conn_event *event) {
  static const char hello[] = "hello over a pipe\n";
  lwx_field type = lwx_line("Content-Type", "text/plain");

  switch (event->kind) {
  case LWX_EVENT_REQUEST:
    if (event->flags & LWX_OPENING)
      check(lwx_conn_accept_websocket(conn, event->key, NULL, NULL, 0), "accept");
    else
      check(lwx_conn_respond(conn, event->key, 200, &type, 1, (const uint8_t *)hello, sizeof hello - 1, LWX_END), "respond");
    break;
  case LWX_EVENT_MESSAGE:
    check(lwx_conn_write(conn, event->key, (const uint8_t *)event->data.data, event->data.size,
                         event->flags & (LWX_TEXT | LWX_END)),
          "echo");
    break;
  default:
    break;
  }
}

static unsigned seen;

static void client_event(lwx_conn *conn, const lwx_conn_event *event) {
  lwx_conn_request_options opening;
  lwx_key key;

  switch (event->kind) {
  case LWX_EVENT_RESPONSE:
    printf("status %u\n", event->status);
    seen += event->status == 200;
    break;
  case LWX_EVENT_CONTENT:
    printf("content: %.*s", (int)event->data.size, event->data.data);
    break;
  case LWX_EVENT_WEBSOCKET:
    puts("websocket");
    check(lwx_conn_write(conn, event->key, (const uint8_t *)"ping-pong", 9, LWX_TEXT | LWX_END), "message");
    break;
  case LWX_EVENT_MESSAGE:
    printf("message: %.*s\n", (int)event->data.size, event->data.data);
    seen += event->data.size == 9;
    check(lwx_conn_close(conn, event->key, 1000, NULL, 0), "close");
    break;
  case LWX_EVENT_CLOSED:
    printf("closed: %.*s %u\n", (int)event->data.size, event->data.data, event->code);
    if (event->cause == LWX_CAUSE_CLOSED) {
      seen += event->code == 1000;
      break;
    }
    /* The exchange is over, and the connection is free for the next. */
    LWX_INIT(&opening);
    opening.host = "pipe";
    opening.target = "/echo";
    check(lwx_conn_connect_websocket(conn, now_us(), &opening, &key), "connect");
    break;
  default:
    break;
  }
}

/* An unpredictable nonce and masks. */
static void fill_random(void *user, uint8_t *bytes, size_t size) {
  FILE *source = user;
  if (fread(bytes, 1, size, source) != size)
    abort();
}

static void serve(int in, int out) {
  lwx_conn *conn;
  check(lwx_conn_new(NULL, now_us(), &conn), "server");
  drive(conn, in, out, server_event);
  lwx_conn_free(conn);
}

static void ask(int in, int out) {
  lwx_conn_options options;
  lwx_conn_request_options request;
  lwx_conn *conn;
  lwx_key key;
  FILE *source = fopen("/dev/urandom", "rb");

  LWX_INIT(&options);
  options.role = LWX_ROLE_CLIENT;
  options.fill_random = fill_random;
  options.user = source;
  check(lwx_conn_new(&options, now_us(), &conn), "client");
  LWX_INIT(&request);
  request.method = "GET";
  request.target = "/";
  request.host = "pipe";
  request.flags = LWX_END;
  check(lwx_conn_request(conn, now_us(), &request, &key), "request");
  drive(conn, in, out, client_event);
  lwx_conn_free(conn);
  fclose(source);
}

int main(void) {
  int there[2], back[2], status;
  pid_t child;

  if (pipe(there) != 0 || pipe(back) != 0 || (child = fork()) < 0)
    return 1;
  if (child == 0) {
    close(there[1]);
    close(back[0]);
    serve(there[0], back[1]);
    _exit(0);
  }
  close(there[0]);
  close(back[1]);
  ask(back[0], there[1]);
  waitpid(child, &status, 0);
  return seen == 3 && status == 0 ? 0 : 1;
}
