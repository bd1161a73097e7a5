/* Messages go back as they came, part by part, and the next is not taken before the last part has gone. "close" closes with a reason. */
#include "common.h"

#define ROOM 65536

struct session {
  unsigned char bytes[LWS_PRE + ROOM];
  size_t size;
  int first, final, binary, is_waiting;
};

static int write_part(struct lws *wsi, struct session *session) {
  int how = session->first ? session->binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT : LWS_WRITE_CONTINUATION;
  if (!session->final)
    how |= LWS_WRITE_NO_FIN;
  session->is_waiting = 0;
  if (lws_write(wsi, &session->bytes[LWS_PRE], session->size, (enum lws_write_protocol)how) < (int)session->size)
    return -1;
  lws_rx_flow_control(wsi, 1);
  return 0;
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
  struct session *session = user;
  switch (reason) {
  case LWS_CALLBACK_RECEIVE:
    if (len == 5 && memcmp(in, "close", 5) == 0) {
      lws_close_reason(wsi, LWS_CLOSE_STATUS_GOINGAWAY, (unsigned char *)"as asked", 8);
      return -1;
    }
    if (session->is_waiting || len > ROOM)
      return -1;
    memcpy(&session->bytes[LWS_PRE], in, len);
    session->size = len;
    session->first = lws_is_first_fragment(wsi);
    session->final = lws_is_final_fragment(wsi);
    session->binary = lws_frame_is_binary(wsi);
    session->is_waiting = 1;
    lws_rx_flow_control(wsi, 0);
    lws_callback_on_writable(wsi);
    return 0;
  case LWS_CALLBACK_SERVER_WRITEABLE:
    return session->is_waiting ? write_part(wsi, session) : 0;
  default:
    return lws_callback_http_dummy(wsi, reason, user, in, len);
  }
}

int main(int argc, char **argv) {
  static const struct lws_protocols protocols[] = {{"echo", callback, sizeof(struct session), ROOM, 0, NULL, 0},
                                                   {NULL, NULL, 0, 0, 0, NULL, 0}};
  struct lws_context_creation_info info;
  prepare(&info, argc, argv);
  info.protocols = protocols;
  return serve(lws_create_context(&info));
}
