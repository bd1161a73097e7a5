/* What the programs have in common: a port as their first argument, an end by SIGTERM or SIGINT, no logs but errors. */
#ifndef COMMON_H
#define COMMON_H

#include <libwebsockets.h>

#include <signal.h>
#include <string.h>

static volatile int interrupted;

static void on_signal(int signal) {
  (void)signal;
  interrupted = 1;
}

static void prepare(struct lws_context_creation_info *info, int argc, char **argv) {
  signal(SIGTERM, on_signal);
  signal(SIGINT, on_signal);
  lws_set_log_level(LLL_ERR, NULL);
  memset(info, 0, sizeof *info);
  info->port = argc > 1 ? atoi(argv[1]) : 7681;
  info->options = LWS_SERVER_OPTION_DISABLE_IPV6;
}

static inline int serve(struct lws_context *context) {
  int n = 0;
  if (context == NULL) {
    fprintf(stderr, "no context\n");
    return 1;
  }
  while (n >= 0 && !interrupted)
    n = lws_service(context, 0);
  lws_context_destroy(context);
  return 0;
}

#endif
