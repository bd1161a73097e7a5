/* The echo server on poll(2). */
#include "echo.h"

#include <poll.h>

int main(int argc, char **argv) {
  lwx_service *service = echo_start(argc, argv);
  struct pollfd wait;

  wait.fd = check(lwx_service_fd(service), "descriptor");
  wait.events = POLLIN;
  /* Dispatch first: there may be work before any descriptor is ready. */
  while (check(lwx_service_dispatch(service), "dispatch") > 0)
    poll(&wait, 1, lwx_service_timeout_ms(service));
  lwx_service_free(service);
  return 0;
}
