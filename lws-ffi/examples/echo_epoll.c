/* The echo server in a program that has an epoll of its own: the service is one descriptor in it. */
#include "echo.h"

#include <sys/epoll.h>
#include <unistd.h>

int main(int argc, char **argv) {
  lwx_service *service = echo_start(argc, argv);
  struct epoll_event event;
  int epoll = epoll_create1(EPOLL_CLOEXEC);

  memset(&event, 0, sizeof event);
  event.events = EPOLLIN;
  if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, check(lwx_service_fd(service), "descriptor"), &event) != 0)
    return 1;
  while (check(lwx_service_dispatch(service), "dispatch") > 0)
    epoll_wait(epoll, &event, 1, lwx_service_timeout_ms(service));
  lwx_service_free(service);
  close(epoll);
  return 0;
}
