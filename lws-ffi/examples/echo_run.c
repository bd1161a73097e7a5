/* The echo server for a program that has no loop. */
#include "echo.h"

int main(int argc, char **argv) {
  lwx_service *service = echo_start(argc, argv);
  check(lwx_service_run(service), "run");
  lwx_service_free(service);
  return 0;
}
