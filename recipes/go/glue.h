/* What Go sees of the library, and of glue.c. */
#ifndef GLUE_H
#define GLUE_H

#include <lwx.h>
#include <poll.h>
#include <stdlib.h>

/* A service with the echo server's routes, which is started. */
lwx_service *recipe_open(const char *address);

#endif
