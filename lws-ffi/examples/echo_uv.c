/* The echo server on a loop of libuv that the program owns, with a timer of the program beside it. */
#include "echo.h"

#include <uv.h>

static unsigned ticks;

static void tick(uv_timer_t *timer) {
  (void)timer;
  ticks++;
}

int main(int argc, char **argv) {
  lwx_service *service = echo_start(argc, argv);
  uv_loop_t loop;
  uv_timer_t timer;

  uv_loop_init(&loop);
  uv_timer_init(&loop, &timer);
  uv_timer_start(&timer, tick, 10, 10);
  /* The loop ends with the service, and not with the timer. */
  uv_unref((uv_handle_t *)&timer);
  check(lwx_service_attach_uv(service, &loop), "attach");
  uv_run(&loop, UV_RUN_DEFAULT);
  lwx_service_free(service);
  uv_close((uv_handle_t *)&timer, NULL);
  /* libuv closes handles in its next turn. */
  uv_run(&loop, UV_RUN_DEFAULT);
  return uv_loop_close(&loop) == 0 ? 0 : 1;
}
