/* What the echo programs have in common: WebSockets at /echo that send back what they receive, a page at /, and an end at POST /stop. Each
 * program hosts it in another loop. */
#ifndef ECHO_H
#define ECHO_H

#include "common.h"

/* A message that has no permit waits for one, and the peer waits meanwhile. */
struct waiting {
  uint32_t flags;
  size_t size;
  uint8_t bytes[1];
};

static void on_message(lwx_service *service, lwx_key key, const uint8_t *bytes, size_t size, uint32_t flags, void *user) {
  struct waiting *waiting;
  uint32_t kind = flags & (LWX_TEXT | LWX_END);
  (void)user;
  if (lwx_write(service, key, bytes, size, kind) != LWX_E_AGAIN)
    return;
  waiting = (struct waiting *)malloc(sizeof *waiting + size);
  if (waiting == NULL) {
    lwx_abort(service, key);
    return;
  }
  waiting->flags = kind;
  waiting->size = size;
  memcpy(waiting->bytes, bytes, size);
  lwx_set_user(service, key, waiting, free);
  lwx_pause(service, key);
  lwx_want_write(service, key);
}

static void on_writable(lwx_service *service, lwx_key key, void *user) {
  struct waiting *waiting = (struct waiting *)user;
  if (waiting == NULL)
    return;
  lwx_write(service, key, waiting->bytes, waiting->size, waiting->flags);
  lwx_set_user(service, key, NULL, NULL);
  lwx_resume(service, key);
}

static void on_page(lwx_service *service, lwx_key key, uint32_t flags, void *user) {
  static const char text[] = "WebSockets at /echo send back what they receive.\n";
  lwx_field type = lwx_line("Content-Type", "text/plain");
  (void)flags;
  (void)user;
  lwx_respond(service, key, 200, &type, 1, text, sizeof text - 1, LWX_END);
}

/* Listens where the first argument says, and prints where that is. */
static inline lwx_service *echo_start(int argc, char **argv) {
  lwx_service *service;
  lwx_handler echo, page;

  LWX_INIT(&echo);
  echo.data = on_message;
  echo.writable = on_writable;
  LWX_INIT(&page);
  page.request = on_page;
  check(lwx_service_new(NULL, &service), "service");
  check(lwx_listen(service, argc > 1 ? argv[1] : "127.0.0.1:7681", NULL, NULL), "listen");
  check(lwx_route(service, LWX_ROUTE_WEBSOCKET, "/echo", &echo), "/echo");
  check(lwx_route(service, LWX_ROUTE_HTTP, "/", &page), "/");
  serve_stop(service);
  start(service);
  return service;
}

#endif
