/* Asks a server, and prints the status and the content. */
#include "common.h"

static int status = 1;

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
  char buffer[LWS_PRE + 1024], *start = buffer + LWS_PRE;
  int size = sizeof buffer - LWS_PRE;
  (void)user;
  switch (reason) {
  case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
    printf("not connected\n");
    interrupted = 1;
    return 0;
  case LWS_CALLBACK_ESTABLISHED_CLIENT_HTTP:
    printf("status %u\n", lws_http_client_http_response(wsi));
    return 0;
  case LWS_CALLBACK_RECEIVE_CLIENT_HTTP_READ:
    printf("%.*s", (int)len, (const char *)in);
    return 0;
  case LWS_CALLBACK_RECEIVE_CLIENT_HTTP:
    return lws_http_client_read(wsi, &start, &size) < 0 ? -1 : 0;
  case LWS_CALLBACK_COMPLETED_CLIENT_HTTP:
    printf("completed\n");
    status = 0;
    interrupted = 1;
    return 0;
  default:
    return 0;
  }
}

int main(int argc, char **argv) {
  static const struct lws_protocols protocols[] = {{"http", callback, 0, 0, 0, NULL, 0}, {NULL, NULL, 0, 0, 0, NULL, 0}};
  struct lws_context_creation_info info;
  struct lws_client_connect_info to;
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
  to.path = argc > 2 ? argv[2] : "/";
  to.host = to.address;
  to.origin = to.address;
  to.method = "GET";
  to.protocol = protocols[0].name;
  lws_client_connect_via_info(&to);
  serve(to.context);
  return status;
}
