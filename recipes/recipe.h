/* What the recipes in C have in common: the echo server of `lws-ffi/examples/echo.h`, and a timer of the host's own that ticks every 10 ms,
 * whose count is printed at the end. */
#ifndef RECIPE_H
#define RECIPE_H

#include "echo.h"

#define TICK_MS 10

static unsigned recipe_ticks;

/* Says how often the timer of the host has ticked. */
static inline void recipe_end(void) {
  printf("ticks %u\n", recipe_ticks);
  fflush(stdout);
}

#endif
