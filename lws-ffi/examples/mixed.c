/* Many things of one service: files, TLS, raw streams, what is no HTTP, UDP, an adopted socket, a watched pipe, content that is gathered. */
#include "common.h"

#include <sys/socket.h>
#include <unistd.h>

/* Raw streams send back what comes, and end when the peer has. */
static void on_raw(lwx_service *service, lwx_key key, const uint8_t *bytes, size_t size, uint32_t flags, void *user) {
  (void)user;
  if (lwx_write(service, key, bytes, size, flags & LWX_END) == LWX_E_AGAIN)
    lwx_abort(service, key);
}

static void on_raw_open(lwx_service *service, lwx_key key, void *user) {
  const char *greeting = user;
  check(lwx_write(service, key, greeting, strlen(greeting), 0), "greeting");
}

static void on_datagram(lwx_service *service, lwx_key key, lwx_str from, const uint8_t *bytes, size_t size, void *user) {
  (void)from;
  (void)user;
  lwx_udp_send(service, key, NULL, bytes, size);
}

/* The length of the content of an upload, which is counted as it comes. */
static void on_upload(lwx_service *service, lwx_key key, uint32_t flags, void *user) {
  size_t *length = calloc(1, sizeof *length);
  (void)user;
  lwx_set_user(service, key, length, free);
  if (flags & LWX_END || length == NULL)
    lwx_respond(service, key, 411, NULL, 0, NULL, 0, LWX_END);
}

static void on_content(lwx_service *service, lwx_key key, const uint8_t *bytes, size_t size, uint32_t flags, void *user) {
  char text[32];
  size_t *length = user;
  (void)bytes;
  *length += size;
  if (!(flags & LWX_END))
    return;
  snprintf(text, sizeof text, "%lu bytes\n", (unsigned long)*length);
  check(lwx_respond(service, key, 200, NULL, 0, text, strlen(text), LWX_END), "respond");
}

/* A long response, a piece with each permit. */
static void on_numbers(lwx_service *service, lwx_key key, uint32_t flags, void *user) {
  unsigned *next = calloc(1, sizeof *next);
  (void)flags;
  (void)user;
  lwx_set_user(service, key, next, free);
  check(lwx_respond(service, key, 200, NULL, 0, NULL, 0, 0), "head");
  check(lwx_want_write(service, key), "want");
}

static void on_numbers_writable(lwx_service *service, lwx_key key, void *user) {
  unsigned *next = user;
  char text[16];
  int length = snprintf(text, sizeof text, "%u\n", (*next)++);
  check(lwx_write(service, key, text, (size_t)length, *next == 10000 ? LWX_END : 0), "write");
  if (*next < 10000)
    check(lwx_want_write(service, key), "want");
}

static void on_pipe(lwx_service *service, lwx_key key, uint32_t events, void *user) {
  char byte;
  int fd = *(int *)user;
  if (events & LWX_READ && read(fd, &byte, 1) == 1)
    printf("the pipe says %c\n", byte);
  if (events & LWX_HANG_UP)
    check(lwx_abort(service, key), "abort");
  fflush(stdout);
}

static void on_timer(lwx_service *service, lwx_key timer, void *user) {
  (void)service;
  (void)timer;
  *(int *)user = 1;
}

int main(int argc, char **argv) {
  lwx_service *service;
  lwx_handler raw, upload, numbers, fallback;
  lwx_listen_options tls, raw_listener;
  lwx_udp_handler udp;
  lwx_key key, timer;
  char greeting[16], udp_address[64];
  int pair[2], pipes[2], fired = 0;

  if (argc < 4) {
    fprintf(stderr, "usage: mixed DIRECTORY CERTIFICATE KEY\n");
    return 2;
  }
  LWX_INIT(&raw);
  raw.data = on_raw;
  raw.open = on_raw_open;
  raw.user = "raw\n";
  fallback = raw;
  fallback.user = "no http\n";
  LWX_INIT(&upload);
  upload.request = on_upload;
  upload.data = on_content;
  LWX_INIT(&numbers);
  numbers.request = on_numbers;
  numbers.writable = on_numbers_writable;
  LWX_INIT(&tls);
  tls.tls_certificate = argv[2];
  tls.tls_key = argv[3];
  LWX_INIT(&raw_listener);
  raw_listener.raw = &raw;

  check(lwx_service_new(NULL, &service), "service");
  check(lwx_listen(service, "127.0.0.1:0", NULL, NULL), "http");
  check(lwx_listen(service, "127.0.0.1:0", &tls, NULL), "https");
  check(lwx_listen(service, "127.0.0.1:0", &raw_listener, NULL), "raw");
  check(lwx_files(service, "/", argv[1], NULL), "files");
  check(lwx_route(service, LWX_ROUTE_HTTP, "/upload", &upload), "/upload");
  check(lwx_route(service, LWX_ROUTE_HTTP, "/numbers", &numbers), "/numbers");
  serve_stop(service);
  check(lwx_raw_fallback(service, &fallback), "fallback");
  start(service);
  check(lwx_tls_reload(service, 1), "reload");

  LWX_INIT(&udp);
  udp.datagram = on_datagram;
  check(lwx_udp_bind(service, "127.0.0.1:0", &udp, &key, udp_address, sizeof udp_address), "udp");
  printf("datagrams at %s\n", udp_address);

  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || pipe(pipes) != 0)
    return 1;
  check(lwx_adopt(service, pair[0], &raw, &key), "adopt");
  check(lwx_watch(service, pipes[0], on_pipe, &pipes[0], NULL, &key), "watch");
  if (write(pipes[1], "!", 1) != 1)
    return 1;
  close(pipes[1]);
  check(lwx_timer_set(service, lwx_now_us(), on_timer, &fired, NULL, NULL), "timer");
  check(lwx_timer_set(service, lwx_now_us() + 3600000000u, on_timer, NULL, NULL, &timer), "timer");
  check(lwx_timer_cancel(service, timer), "cancel");
  fflush(stdout);
  check(lwx_service_run(service), "run");
  if (read(pair[1], greeting, sizeof greeting) != 4 || memcmp(greeting, "raw\n", 4) != 0 || !fired)
    return 1;
  close(pair[1]);
  lwx_service_free(service);
  return 0;
}
