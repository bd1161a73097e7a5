/* An echo server through the C interface, beside which `src/bin/echo.rs` is the same in Rust: `instructions` counts both. Its argument is a port
 * on 127.0.0.1; a signal ends it. */
#include <lwx.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

/* A turn does not end by the clock, which runs fifty times as fast as a program under valgrind. */
#define TURN_US UINT64_C(60000000)

static void on_message(lwx_service *service, lwx_key key, const uint8_t *bytes, size_t size, uint32_t flags, void *user) {
  (void)user;
  if (lwx_write(service, key, bytes, size, flags & (LWX_TEXT | LWX_END)) < 0)
    lwx_abort(service, key);
}

static int32_t check(int32_t code) {
  if (code < 0) {
    fprintf(stderr, "%s (%s)\n", lwx_strerror(code), lwx_last_error());
    exit(1);
  }
  return code;
}

int main(int argc, char **argv) {
  lwx_service *service;
  lwx_handler echo;
  struct pollfd entry;
  char address[64];

  snprintf(address, sizeof address, "127.0.0.1:%s", argc > 1 ? argv[1] : "7681");
  LWX_INIT(&echo);
  echo.data = on_message;
  check(lwx_service_new(NULL, &service));
  check(lwx_listen(service, address, NULL, NULL));
  check(lwx_route(service, LWX_ROUTE_WEBSOCKET, "/echo", &echo));
  check(lwx_service_start(service));
  entry.fd = check(lwx_service_fd(service));
  entry.events = POLLIN;
  while (check(lwx_service_dispatch_within(service, TURN_US)) > 0)
    poll(&entry, 1, lwx_service_timeout_ms(service));
  lwx_service_free(service);
  return 0;
}
