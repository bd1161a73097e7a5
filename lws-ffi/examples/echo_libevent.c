/* The echo server in a loop of libevent: one event for the descriptor, and its timeout for the deadline. */
#include "echo.h"

#include <event2/event.h>

struct hosted {
  lwx_service *service;
  struct event_base *base;
  struct event *event;
};

static void dispatch(evutil_socket_t fd, short what, void *user) {
  struct hosted *hosted = user;
  struct timeval wait;
  int timeout;
  (void)fd;
  (void)what;
  if (lwx_service_dispatch(hosted->service) <= 0) {
    event_base_loopbreak(hosted->base);
    return;
  }
  timeout = lwx_service_timeout_ms(hosted->service);
  wait.tv_sec = timeout / 1000;
  wait.tv_usec = timeout % 1000 * 1000;
  event_add(hosted->event, timeout < 0 ? NULL : &wait);
}

int main(int argc, char **argv) {
  struct hosted hosted;

  hosted.service = echo_start(argc, argv);
  hosted.base = event_base_new();
  hosted.event = event_new(hosted.base, check(lwx_service_fd(hosted.service), "descriptor"), EV_READ, dispatch, &hosted);
  dispatch(-1, 0, &hosted);
  event_base_dispatch(hosted.base);
  event_free(hosted.event);
  event_base_free(hosted.base);
  lwx_service_free(hosted.service);
  return 0;
}
