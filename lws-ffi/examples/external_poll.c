/* A program that has an array of poll(2) of its own: its standard input is in it, and the service's descriptors come and go behind it. The
 * program line by line from its input publishes to all that are connected, and ends when that ends. */
#include "common.h"

#include <poll.h>
#include <unistd.h>

#define ENTRIES 4096

static struct pollfd entries[ENTRIES];
static nfds_t count = 1; /* The first is the program's. */

static short interest(uint32_t events) {
  return (short)((events & LWX_READ ? POLLIN : 0) | (events & LWX_WRITE ? POLLOUT : 0));
}

/* Entries keep their places. One without interest has the negative of its descriptor, which poll(2) leaves out. */
static struct pollfd *find(int32_t fd) {
  nfds_t at;
  for (at = 1; at < count; at++)
    if (entries[at].fd == fd || entries[at].fd == -fd - 1)
      return &entries[at];
  return NULL;
}

static int32_t set(void *user, int32_t fd, uint64_t token, uint32_t events) {
  struct pollfd *entry = find(fd);
  (void)user;
  (void)token;
  if (entry == NULL) {
    if (count == ENTRIES)
      return -1;
    entry = &entries[count++];
    entry->revents = 0;
  }
  entry->fd = events ? fd : -fd - 1;
  entry->events = interest(events);
  return 0;
}

static void leave(void *user, int32_t fd, uint64_t token) {
  struct pollfd *entry = find(fd);
  (void)user;
  (void)token;
  if (entry != NULL)
    *entry = entries[--count];
}

static void on_open(lwx_service *service, lwx_key key, void *user) {
  (void)user;
  check(lwx_subscribe(service, key, "lines"), "subscribe");
}

int main(int argc, char **argv) {
  lwx_service *service;
  lwx_handler handler;
  lwx_host host;
  char line[512];
  nfds_t at;

  LWX_INIT(&handler);
  handler.open = on_open;
  check(lwx_service_new(NULL, &service), "service");
  check(lwx_listen(service, argc > 1 ? argv[1] : "127.0.0.1:7681", NULL, NULL), "listen");
  check(lwx_route(service, LWX_ROUTE_WEBSOCKET, "/lines", &handler), "/lines");
  serve_stop(service);
  start(service);

  LWX_INIT(&host);
  host.add = set;
  host.modify = set;
  host.remove = leave;
  check(lwx_service_set_host(service, &host), "host");
  entries[0].fd = STDIN_FILENO;
  entries[0].events = POLLIN;
  while (check(lwx_service_dispatch(service), "dispatch") > 0) {
    poll(entries, count, lwx_service_timeout_ms(service));
    if (entries[0].fd >= 0 && entries[0].revents) {
      ssize_t size = read(STDIN_FILENO, line, sizeof line);
      if (size > 0) {
        check(lwx_publish(service, "lines", line, (size_t)size, LWX_TEXT), "publish");
      } else {
        entries[0].fd = -1;
        lwx_service_drain(service);
      }
    }
    /* Readiness alone changes no entry: the next dispatch does. */
    for (at = 1; at < count; at++)
      if (entries[at].revents)
        check(lwx_service_pollfd(service, &entries[at]), "pollfd");
  }
  lwx_service_free(service);
  return 0;
}
