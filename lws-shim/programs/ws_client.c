/* Opens a WebSocket to an echo server, sends three messages and prints what comes back, one after the other. */
#include "common.h"

static int sent, received, status = 1;

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
  unsigned char buffer[LWS_PRE + 64];
  int size;
  (void)user;
  switch (reason) {
  case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
    printf("not connected\n");
    interrupted = 1;
    return 0;
  case LWS_CALLBACK_CLIENT_ESTABLISHED:
    printf("established\n");
    lws_callback_on_writable(wsi);
    return 0;
  case LWS_CALLBACK_CLIENT_WRITEABLE:
    size = lws_snprintf((char *)&buffer[LWS_PRE], 64, "message %d", ++sent);
    return lws_write(wsi, &buffer[LWS_PRE], (size_t)size, LWS_WRITE_TEXT) < size ? -1 : 0;
  case LWS_CALLBACK_CLIENT_RECEIVE:
    printf("%.*s\n", (int)len, (const char *)in);
    if (++received == 3) {
      status = 0;
      lws_close_reason(wsi, LWS_CLOSE_STATUS_NORMAL, NULL, 0);
      return -1;
    }
    lws_callback_on_writable(wsi);
    return 0;
  case LWS_CALLBACK_CLIENT_CLOSED:
    printf("closed\n");
    interrupted = 1;
    return 0;
  default:
    return 0;
  }
}

int main(int argc, char **argv) {
  static const struct lws_protocols protocols[] = {{"echo", callback, 0, 1024, 0, NULL, 0}, {NULL, NULL, 0, 0, 0, NULL, 0}};
  struct lws_context_creation_info info;
  struct lws_client_connect_info to;
  struct lws *wsi;
  int port;
  prepare(&info, argc, argv);
  port = info.port;
  info.port = CONTEXT_PORT_NO_LISTEN;
  info.protocols = protocols;
  memset(&to, 0, sizeof to);
  to.context = lws_create_context(&info);
  if (to.context == NULL)
    return 1;
  to.address = "127.0.0.1";
  to.port = port;
  to.path = "/";
  to.host = to.address;
  to.origin = to.address;
  to.protocol = "echo";
  to.local_protocol_name = "echo";
  to.pwsi = &wsi;
  lws_client_connect_via_info(&to);
  serve(to.context);
  return status;
}
