/* The echo server in a loop of libev: a watcher for the descriptor, and a timer for the deadline. */
#include "recipe.h"

#include <ev.h>

struct hosted {
  lwx_service *service;
  ev_io io;
  ev_timer timer;
};

static void dispatch(struct ev_loop *loop, struct hosted *hosted) {
  int timeout;
  ev_timer_stop(loop, &hosted->timer);
  if (check(lwx_service_dispatch(hosted->service), "dispatch") == 0) {
    ev_io_stop(loop, &hosted->io);
    ev_break(loop, EVBREAK_ALL);
    return;
  }
  timeout = lwx_service_timeout_ms(hosted->service);
  if (timeout < 0)
    return;
  /* From now on, and not from the time that libev took before the dispatch. */
  ev_now_update(loop);
  ev_timer_set(&hosted->timer, timeout / 1000.0, 0.0);
  ev_timer_start(loop, &hosted->timer);
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events) {
  (void)events;
  dispatch(loop, io->data);
}

static void on_due(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)events;
  dispatch(loop, timer->data);
}

static void tick(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop;
  (void)timer;
  (void)events;
  recipe_ticks++;
}

int main(int argc, char **argv) {
  struct hosted hosted;
  struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
  ev_timer own;

  hosted.service = echo_start(argc, argv);
  ev_timer_init(&own, tick, TICK_MS / 1000.0, TICK_MS / 1000.0);
  ev_timer_start(loop, &own);
  ev_io_init(&hosted.io, on_readable, check(lwx_service_fd(hosted.service), "descriptor"), EV_READ);
  /* Behind what the program itself watches: a lower priority than 0. */
  ev_set_priority(&hosted.io, EV_MINPRI);
  ev_init(&hosted.timer, on_due);
  hosted.io.data = hosted.timer.data = &hosted;
  ev_io_start(loop, &hosted.io);
  dispatch(loop, &hosted);
  ev_run(loop, 0);
  recipe_end();
  lwx_service_free(hosted.service);
  ev_loop_destroy(loop);
  return 0;
}
