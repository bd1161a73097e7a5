/* The echo server in a program whose epoll has every descriptor of the service, one beside the program's own. */
#include "echo.h"

#include <sys/epoll.h>
#include <unistd.h>

static int32_t control(int epoll, int what, int32_t fd, uint64_t token, uint32_t events) {
  struct epoll_event event;
  memset(&event, 0, sizeof event);
  event.events = (events & LWX_READ ? EPOLLIN : 0u) | (events & LWX_WRITE ? EPOLLOUT : 0u);
  event.data.u64 = token;
  return epoll_ctl(epoll, what, fd, &event);
}

/* Whether epoll has a descriptor: one without interest is left out, as epoll reports a hang-up unasked. */
static unsigned char watched[65536];

static int32_t change(void *user, int32_t fd, uint64_t token, uint32_t events) {
  int epoll = *(int *)user, had;
  if (fd < 0 || fd >= (int32_t)sizeof watched)
    return -1;
  had = watched[fd];
  watched[fd] = events != 0;
  if (events == 0)
    return had ? control(epoll, EPOLL_CTL_DEL, fd, token, 0) : 0;
  return control(epoll, had ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, token, events);
}

static void leave(void *user, int32_t fd, uint64_t token) {
  change(user, fd, token, 0);
}

static uint32_t readiness(uint32_t events) {
  return (events & EPOLLIN ? LWX_READ : 0u) | (events & EPOLLOUT ? LWX_WRITE : 0u) | (events & EPOLLHUP ? LWX_HANG_UP : 0u) |
         (events & EPOLLERR ? LWX_ERROR : 0u);
}

int main(int argc, char **argv) {
  lwx_service *service = echo_start(argc, argv);
  struct epoll_event events[64];
  lwx_host host;
  int epoll = epoll_create1(EPOLL_CLOEXEC), count, at;

  LWX_INIT(&host);
  host.add = change;
  host.modify = change;
  host.remove = leave;
  host.user = &epoll;
  check(lwx_service_set_host(service, &host), "host");
  while (check(lwx_service_dispatch(service), "dispatch") > 0) {
    count = epoll_wait(epoll, events, 64, lwx_service_timeout_ms(service));
    for (at = 0; at < count; at++)
      check(lwx_service_ready(service, events[at].data.u64, readiness(events[at].events)), "ready");
  }
  lwx_service_free(service);
  close(epoll);
  return 0;
}
