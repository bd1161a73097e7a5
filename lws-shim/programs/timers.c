/* A timer of the context counts; a timer of each connection sends the count, until it has been sent three times. */
#include "common.h"

static struct lws_context *context;
static lws_sorted_usec_list_t beat;
static int count;

static void on_beat(lws_sorted_usec_list_t *sul) {
  count++;
  lws_sul_schedule(context, 0, sul, on_beat, 20 * LWS_US_PER_MS);
}

struct session {
  int sent, due;
};

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
  struct session *session = user;
  unsigned char buffer[LWS_PRE + 64];
  int size;
  switch (reason) {
  case LWS_CALLBACK_ESTABLISHED:
    lws_set_timer_usecs(wsi, 30 * LWS_US_PER_MS);
    return 0;
  case LWS_CALLBACK_TIMER:
    session->due = 1;
    lws_callback_on_writable(wsi);
    return 0;
  case LWS_CALLBACK_SERVER_WRITEABLE:
    if (!session->due)
      return 0;
    session->due = 0;
    size = lws_snprintf((char *)&buffer[LWS_PRE], 64, "%d %s", ++session->sent, count > 0 ? "counted" : "not counted");
    if (lws_write(wsi, &buffer[LWS_PRE], (size_t)size, LWS_WRITE_TEXT) < size)
      return -1;
    if (session->sent < 3)
      lws_set_timer_usecs(wsi, 30 * LWS_US_PER_MS);
    return 0;
  default:
    return lws_callback_http_dummy(wsi, reason, user, in, len);
  }
}

int main(int argc, char **argv) {
  static const struct lws_protocols protocols[] = {{"beat", callback, sizeof(struct session), 128, 0, NULL, 0},
                                                   {NULL, NULL, 0, 0, 0, NULL, 0}};
  struct lws_context_creation_info info;
  prepare(&info, argc, argv);
  info.protocols = protocols;
  context = lws_create_context(&info);
  if (context)
    lws_sul_schedule(context, 0, &beat, on_beat, 20 * LWS_US_PER_MS);
  return serve(context);
}
