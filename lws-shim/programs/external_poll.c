/* The program's own poll: it keeps the array by what it is told, and has a descriptor of its own in it, the standard input, whose end is the
 * end of the program. Forced service is asked for when nothing is ready. libwebsockets has this only where it was built with it. */
#include "common.h"

#include <unistd.h>

#define ROOM 256

static struct lws_pollfd entries[ROOM];
static int count;

static void add(const struct lws_pollargs *args) {
  if (count == ROOM)
    abort();
  entries[count].fd = args->fd;
  entries[count].events = (short)args->events;
  entries[count++].revents = 0;
}

static int find(int fd) {
  int at;
  for (at = 0; at < count; at++)
    if (entries[at].fd == fd)
      return at;
  abort();
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
  const struct lws_pollargs *args = in;
  unsigned char *copy;
  int at, written;
  (void)user;
  switch (reason) {
  case LWS_CALLBACK_ADD_POLL_FD:
    add(args);
    return 0;
  case LWS_CALLBACK_DEL_POLL_FD:
    /* Not in one line: C does not say whether the index is found before the array is shorter. */
    at = find(args->fd);
    entries[at] = entries[--count];
    return 0;
  case LWS_CALLBACK_CHANGE_MODE_POLL_FD:
    entries[find(args->fd)].events = (short)args->events;
    return 0;
  case LWS_CALLBACK_RECEIVE:
    copy = malloc(LWS_PRE + len);
    memcpy(copy + LWS_PRE, in, len);
    written = lws_write(wsi, copy + LWS_PRE, len, LWS_WRITE_TEXT);
    free(copy);
    return written < (int)len ? -1 : 0;
  default:
    return lws_callback_http_dummy(wsi, reason, user, in, len);
  }
}

int main(int argc, char **argv) {
  static const struct lws_protocols protocols[] = {{"echo", callback, 0, 65536, 0, NULL, 0}, {NULL, NULL, 0, 0, 0, NULL, 0}};
  struct lws_context_creation_info info;
  struct lws_context *context;
  int at, ready;
  prepare(&info, argc, argv);
  info.protocols = protocols;
  entries[0].fd = STDIN_FILENO;
  entries[0].events = POLLIN;
  count = 1;
  context = lws_create_context(&info);
  if (context == NULL)
    return 1;
  while (!interrupted) {
    int timeout = lws_service_adjust_timeout(context, 1000, 0);
    ready = poll(entries, (nfds_t)count, timeout);
    if (ready == 0)
      lws_service_fd(context, NULL);
    /* From the end: an entry that goes has the last one in its place. */
    for (at = count - 1; at >= 0; at--) {
      if (at >= count || !entries[at].revents)
        continue;
      if (entries[at].fd == STDIN_FILENO)
        interrupted = 1;
      else
        lws_service_fd(context, &entries[at]);
    }
  }
  lws_context_destroy(context);
  return 0;
}
