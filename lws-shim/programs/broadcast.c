/* What one says, all get who have chosen the protocol "room": per vhost memory, a list of sessions, a permit for each. "quiet" is another
 * protocol, which gets nothing. */
#include "common.h"

struct session {
  struct session *next;
  struct lws *wsi;
  int last;
};

struct room {
  struct session *sessions;
  unsigned char message[LWS_PRE + 1024];
  size_t size;
  int number;
};

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
  struct session *session = user;
  struct room *room = lws_protocol_vh_priv_get(lws_get_vhost(wsi), lws_get_protocol(wsi));
  switch (reason) {
  case LWS_CALLBACK_PROTOCOL_INIT:
    return lws_protocol_vh_priv_zalloc(lws_get_vhost(wsi), lws_get_protocol(wsi), sizeof(struct room)) ? 0 : 1;
  case LWS_CALLBACK_ESTABLISHED:
    lws_ll_fwd_insert(session, next, room->sessions);
    session->wsi = wsi;
    session->last = room->number;
    return 0;
  case LWS_CALLBACK_CLOSED:
    lws_ll_fwd_remove(struct session, next, session, room->sessions);
    return 0;
  case LWS_CALLBACK_RECEIVE:
    if (len > sizeof room->message - LWS_PRE)
      return -1;
    memcpy(&room->message[LWS_PRE], in, len);
    room->size = len;
    room->number++;
    lws_start_foreach_llp(struct session **, each, room->sessions) {
      lws_callback_on_writable((*each)->wsi);
    } lws_end_foreach_llp(each, next);
    return 0;
  case LWS_CALLBACK_SERVER_WRITEABLE:
    if (session->last == room->number)
      return 0;
    session->last = room->number;
    return lws_write(wsi, &room->message[LWS_PRE], room->size, LWS_WRITE_TEXT) < (int)room->size ? -1 : 0;
  default:
    return 0;
  }
}

static int quiet(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
  (void)wsi;
  (void)user;
  (void)in;
  (void)len;
  return reason == LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION ? 0 : 0;
}

int main(int argc, char **argv) {
  static const struct lws_protocols protocols[] = {{"http", lws_callback_http_dummy, 0, 0, 0, NULL, 0},
                                                   {"room", callback, sizeof(struct session), 1024, 0, NULL, 0},
                                                   {"quiet", quiet, 0, 1024, 0, NULL, 0},
                                                   {NULL, NULL, 0, 0, 0, NULL, 0}};
  struct lws_context_creation_info info;
  prepare(&info, argc, argv);
  info.protocols = protocols;
  return serve(lws_create_context(&info));
}
