/* A client that asks another server, and one that opens a WebSocket and sends what it reads, a message for each line.
 *
 *   client http://... [ROOTS]   prints the status, the content and how it ended
 *   client ws://... [ROOTS]     prints what comes, until its input has ended and each line has had its answer
 *
 * ROOTS is a PEM file of certificates that are trusted; "reconnect" has a WebSocket come back. */
#include <lwx.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int32_t check(int32_t code, const char *what) {
  if (code < 0) {
    fprintf(stderr, "%s: %s (%s)\n", what, lwx_strerror(code), lwx_last_error());
    exit(1);
  }
  return code;
}

/* What waits for a WebSocket that has no room, or is not open. The input is not read meanwhile. */
struct input {
  lwx_key websocket;
  lwx_key watched;
  char line[65536];
  size_t size;
  size_t sent, answered;
  int ended;
};

static void on_response(lwx_service *service, lwx_key key, const lwx_response *response, void *user) {
  size_t at;
  (void)service;
  (void)key;
  (void)user;
  printf("status %u\n", (unsigned)response->status);
  for (at = 0; at < response->field_count; at++)
    if (response->fields[at].name.size == 12)
      printf("type %.*s\n", (int)response->fields[at].value.size, response->fields[at].value.data);
  fflush(stdout);
}

static void close_if_done(lwx_service *service, struct input *input) {
  if (input->ended && input->answered >= input->sent)
    lwx_close(service, input->websocket, 1000, "bye", 3);
}

static void on_content(lwx_service *service, lwx_key key, const uint8_t *bytes, size_t size, uint32_t flags, void *user) {
  struct input *input = user;
  (void)key;
  fwrite(bytes, 1, size, stdout);
  if (flags & LWX_END)
    printf("\n");
  fflush(stdout);
  if (flags & LWX_END && input->websocket) {
    input->answered++;
    close_if_done(service, input);
  }
}

static void on_closed(lwx_service *service, lwx_key key, const lwx_closed *closed, void *user) {
  (void)key;
  (void)user;
  printf("closed %d %u %.*s (%.*s)\n", (int)closed->cause, (unsigned)closed->code, (int)closed->name.size, closed->name.data,
         (int)closed->detail.size, closed->detail.data);
  lwx_service_drain(service);
}

static void on_lost(lwx_service *service, lwx_key key, const lwx_closed *why, void *user) {
  (void)service;
  (void)key;
  (void)user;
  printf("lost %d\n", (int)why->cause);
  fflush(stdout);
}

/* Sends all whole lines; what has no room stays. */
static void send_lines(lwx_service *service, struct input *input) {
  char *end;
  while (input->size > 0 && (end = memchr(input->line, '\n', input->size)) != NULL) {
    size_t size = (size_t)(end - input->line);
    int32_t code = lwx_write(service, input->websocket, input->line, size, LWX_TEXT | LWX_END);
    if (code == LWX_E_AGAIN) {
      check(lwx_want_write(service, input->websocket), "want write");
      return;
    }
    check(code, "write");
    input->sent++;
    input->size -= size + 1;
    memmove(input->line, end + 1, input->size);
  }
  close_if_done(service, input);
}

static void on_open(lwx_service *service, lwx_key key, void *user) {
  (void)key;
  printf("open\n");
  fflush(stdout);
  send_lines(service, user);
}

static void on_writable(lwx_service *service, lwx_key key, void *user) {
  (void)key;
  send_lines(service, user);
}

static void on_input(lwx_service *service, lwx_key key, uint32_t events, void *user) {
  struct input *input = user;
  ssize_t got = 0;
  (void)events;
  if (input->size < sizeof input->line)
    got = read(STDIN_FILENO, input->line + input->size, sizeof input->line - input->size);
  if (got > 0) {
    input->size += (size_t)got;
  } else if (got == 0) {
    input->ended = 1;
    lwx_abort(service, key);
  }
  send_lines(service, input);
}

int main(int argc, char **argv) {
  static struct input input;
  lwx_service *service;
  lwx_handler handler;
  lwx_connect_options options;

  if (argc < 2) {
    fprintf(stderr, "usage: client URL [ROOTS] [reconnect]\n");
    return 2;
  }
  LWX_INIT(&handler);
  handler.response = on_response;
  handler.open = on_open;
  handler.data = on_content;
  handler.writable = on_writable;
  handler.lost = on_lost;
  handler.closed = on_closed;
  handler.user = &input;
  LWX_INIT(&options);
  options.flags = LWX_CONNECT_FOLLOW;
  if (argc > 2 && *argv[2])
    options.tls_roots = argv[2];
  if (argc > 3 && strcmp(argv[3], "reconnect") == 0)
    options.flags |= LWX_CONNECT_RECONNECT;
  check(lwx_service_new(NULL, &service), "service");
  check(lwx_service_start(service), "start");
  if (strncmp(argv[1], "ws", 2) == 0) {
    check(lwx_connect_websocket(service, argv[1], &options, &handler, &input.websocket), "connect");
    check(lwx_watch(service, STDIN_FILENO, on_input, &input, NULL, &input.watched), "input");
  } else {
    check(lwx_fetch(service, argv[1], &options, &handler, NULL), "fetch");
  }
  check(lwx_service_run(service), "run");
  lwx_service_free(service);
  return 0;
}
