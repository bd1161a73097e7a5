/* The echo server in a main loop of GLib: a source that polls one descriptor and knows when to wake. */
#include "echo.h"

#include <glib.h>

struct source {
  GSource source;
  lwx_service *service;
  GMainLoop *loop;
};

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer user) {
  struct source *own = (struct source *)source;
  uint64_t at;
  (void)callback;
  (void)user;
  if (lwx_service_dispatch(own->service) <= 0) {
    g_main_loop_quit(own->loop);
    return G_SOURCE_REMOVE;
  }
  check(lwx_service_deadline(own->service, &at), "deadline");
  /* Both clocks are CLOCK_MONOTONIC in microseconds. */
  g_source_set_ready_time(source, at == UINT64_MAX ? -1 : (gint64)at);
  return G_SOURCE_CONTINUE;
}

int main(int argc, char **argv) {
  static GSourceFuncs functions = {NULL, NULL, dispatch, NULL, NULL, NULL};
  lwx_service *service = echo_start(argc, argv);
  GMainLoop *loop = g_main_loop_new(NULL, FALSE);
  GSource *source = g_source_new(&functions, sizeof(struct source));

  ((struct source *)source)->service = service;
  ((struct source *)source)->loop = loop;
  g_source_add_unix_fd(source, check(lwx_service_fd(service), "descriptor"), G_IO_IN);
  g_source_set_ready_time(source, 0);
  g_source_attach(source, NULL);
  g_main_loop_run(loop);
  g_source_destroy(source);
  g_source_unref(source);
  g_main_loop_unref(loop);
  lwx_service_free(service);
  return 0;
}
