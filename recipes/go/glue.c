/* Callbacks of C as functions of Go. */
#include "_cgo_export.h"
#include "glue.h"
#include "recipe.h"

static void on_go_message(lwx_service *service, lwx_key key, const uint8_t *bytes, size_t size, uint32_t flags, void *user) {
  struct goMessage_return reply = goMessage((uint8_t *)bytes, size, (flags & LWX_TEXT) != 0);
  (void)user;
  on_message(service, key, reply.r0, reply.r1, flags, NULL);
  free(reply.r0);
}

static void on_news_open(lwx_service *service, lwx_key key, void *user) {
  (void)user;
  lwx_subscribe(service, key, "news");
}

lwx_service *recipe_open(const char *address) {
  lwx_service *service;
  lwx_handler echo, page, news;

  LWX_INIT(&echo);
  echo.data = on_go_message;
  echo.writable = on_writable;
  LWX_INIT(&page);
  page.request = on_page;
  LWX_INIT(&news);
  news.open = on_news_open;
  check(lwx_service_new(NULL, &service), "service");
  check(lwx_listen(service, address, NULL, NULL), "listen");
  check(lwx_route(service, LWX_ROUTE_WEBSOCKET, "/echo", &echo), "/echo");
  check(lwx_route(service, LWX_ROUTE_WEBSOCKET, "/news", &news), "/news");
  check(lwx_route(service, LWX_ROUTE_HTTP, "/", &page), "/");
  serve_stop(service);
  start(service);
  return service;
}
