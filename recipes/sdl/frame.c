/* The echo server in a game that draws a frame every 16 ms.
 *
 *     frame ADDRESS once    one dispatch for each frame: a message waits for the next frame
 *     frame ADDRESS wait    what is left of a frame is waited for on the service's descriptor, and not in SDL_Delay()
 */
#include "recipe.h"

#include <SDL.h>
#include <poll.h>

#define FRAME_MS 16

static void draw(SDL_Window *window) {
  SDL_Surface *surface = SDL_GetWindowSurface(window);
  SDL_FillRect(surface, NULL, SDL_MapRGB(surface->format, (Uint8)recipe_ticks, 0, 0));
  SDL_UpdateWindowSurface(window);
  recipe_ticks++;
}

/* Microseconds until the next frame is due. */
static uint64_t left_us(Uint32 due) {
  int left = (int)(due - SDL_GetTicks());
  return left > 0 ? (uint64_t)left * 1000 : 0;
}

/* Serves until the next frame is due: 0 when the service has ended. A dispatch takes no longer than its budget, 1 ms. */
static int serve_until(lwx_service *service, Uint32 due) {
  struct pollfd wait;
  int left, timeout;

  wait.fd = check(lwx_service_fd(service), "descriptor");
  wait.events = POLLIN;
  while ((left = (int)(due - SDL_GetTicks())) > 0) {
    timeout = lwx_service_timeout_ms(service);
    poll(&wait, 1, timeout < 0 || timeout > left ? left : timeout);
    if (check(lwx_service_dispatch(service), "dispatch") == 0)
      return 0;
  }
  return 1;
}

int main(int argc, char **argv) {
  lwx_service *service = echo_start(argc, argv);
  int once = argc > 2 && strcmp(argv[2], "once") == 0, goes_on = 1;
  SDL_Window *window;
  SDL_Event event;
  Uint32 due;

  if (SDL_Init(SDL_INIT_VIDEO) != 0 || (window = SDL_CreateWindow("echo", 0, 0, 64, 64, 0)) == NULL) {
    fprintf(stderr, "%s\n", SDL_GetError());
    return 1;
  }
  due = SDL_GetTicks();
  while (goes_on) {
    while (SDL_PollEvent(&event))
      if (event.type == SDL_QUIT)
        lwx_service_drain(service);
    draw(window);
    due += FRAME_MS;
    goes_on = check(lwx_service_dispatch_within(service, left_us(due)), "dispatch");
    if (!goes_on)
      break;
    if (!once)
      goes_on = serve_until(service, due);
    else if ((int)(due - SDL_GetTicks()) > 0)
      SDL_Delay(due - SDL_GetTicks());
  }
  recipe_end();
  lwx_service_free(service);
  SDL_DestroyWindow(window);
  SDL_Quit();
  return 0;
}
