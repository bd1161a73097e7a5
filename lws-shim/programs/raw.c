/* A port of bytes without HTTP: each connection is greeted and gets back what it sends; "bye" ends it. */
#include "common.h"

struct session {
  unsigned char bytes[LWS_PRE + 4096];
  size_t size;
  int greeted, ending;
};

static int write_back(struct lws *wsi, struct session *session) {
  if (!session->greeted) {
    unsigned char greeting[LWS_PRE + 8];
    session->greeted = 1;
    memcpy(&greeting[LWS_PRE], "hello\n", 6);
    if (lws_write(wsi, &greeting[LWS_PRE], 6, LWS_WRITE_RAW) != 6)
      return -1;
    if (session->size > 0)
      lws_callback_on_writable(wsi);
    return 0;
  }
  if (session->size > 0) {
    size_t size = session->size;
    session->size = 0;
    if (lws_write(wsi, &session->bytes[LWS_PRE], size, LWS_WRITE_RAW) != (int)size)
      return -1;
    lws_rx_flow_control(wsi, 1);
  }
  return session->ending ? -1 : 0;
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
  struct session *session = user;
  switch (reason) {
  case LWS_CALLBACK_RAW_ADOPT:
    lws_callback_on_writable(wsi);
    return 0;
  case LWS_CALLBACK_RAW_RX:
    if (len > sizeof session->bytes - LWS_PRE)
      return -1;
    memcpy(&session->bytes[LWS_PRE], in, len);
    session->size = len;
    session->ending = len >= 3 && memcmp(in, "bye", 3) == 0;
    lws_rx_flow_control(wsi, 0);
    lws_callback_on_writable(wsi);
    return 0;
  case LWS_CALLBACK_RAW_WRITEABLE:
    return write_back(wsi, session);
  default:
    return 0;
  }
}

int main(int argc, char **argv) {
  static const struct lws_protocols protocols[] = {{"raw", callback, sizeof(struct session), 4096, 0, NULL, 0},
                                                   {NULL, NULL, 0, 0, 0, NULL, 0}};
  struct lws_context_creation_info info;
  prepare(&info, argc, argv);
  info.protocols = protocols;
  info.options |= LWS_SERVER_OPTION_ADOPT_APPLY_LISTEN_ACCEPT_CONFIG;
  info.listen_accept_role = "raw-skt";
  info.listen_accept_protocol = "raw";
  return serve(lws_create_context(&info));
}
