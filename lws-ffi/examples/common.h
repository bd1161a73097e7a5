/* What the programs have in common: errors end them, and POST /stop ends the service. */
#ifndef COMMON_H
#define COMMON_H

#include <lwx.h>

#include <stdio.h>
#include <stdlib.h>

static int32_t check(int32_t code, const char *what) {
  if (code < 0) {
    fprintf(stderr, "%s: %s (%s)\n", what, lwx_strerror(code), lwx_last_error());
    exit(1);
  }
  return code;
}

static void on_stop(lwx_service *service, lwx_key key, uint32_t flags, void *user) {
  (void)flags;
  (void)user;
  lwx_respond(service, key, 202, NULL, 0, NULL, 0, LWX_END);
  lwx_service_drain(service);
}

/* Starts a service that is described, and prints where it listens. */
static void start(lwx_service *service) {
  char address[128];
  size_t at;
  check(lwx_service_start(service), "start");
  for (at = 0; lwx_service_address(service, at, address, sizeof address) == 0; at++)
    printf("listening on %s\n", address);
  fflush(stdout);
}

/* A route that ends the service. */
static void serve_stop(lwx_service *service) {
  lwx_handler stop;
  LWX_INIT(&stop);
  stop.request = on_stop;
  check(lwx_route(service, LWX_ROUTE_HTTP, "/stop", &stop), "/stop");
}

#endif
