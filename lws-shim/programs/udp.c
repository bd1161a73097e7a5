/* Datagrams go back to where they came from. */
#include "common.h"

#include <sys/socket.h>

static struct lws_udp from;
static unsigned char bytes[1500];
static size_t size;

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
  const struct lws_udp *peer;
  (void)user;
  switch (reason) {
  case LWS_CALLBACK_RAW_RX:
    peer = lws_get_udp(wsi);
    if (len > sizeof bytes || peer == NULL)
      return -1;
    from = *peer;
    memcpy(bytes, in, len);
    size = len;
    lws_callback_on_writable(wsi);
    return 0;
  case LWS_CALLBACK_RAW_WRITEABLE:
    if (size > 0 && sendto(lws_get_socket_fd(wsi), bytes, size, 0, &from.sa, from.salen) < 0)
      return -1;
    size = 0;
    return 0;
  default:
    return 0;
  }
}

int main(int argc, char **argv) {
  static const struct lws_protocols protocols[] = {{"udp", callback, 0, 0, 0, NULL, 0}, {NULL, NULL, 0, 0, 0, NULL, 0}};
  struct lws_context_creation_info info;
  struct lws_context *context;
  struct lws_vhost *vhost;
  int port;
  prepare(&info, argc, argv);
  port = info.port;
  info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
  info.options |= LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
  context = lws_create_context(&info);
  if (context == NULL)
    return 1;
  info.protocols = protocols;
  vhost = lws_create_vhost(context, &info);
  if (vhost == NULL || lws_create_adopt_udp(vhost, NULL, port, LWS_CAUDP_BIND, "udp", NULL, NULL, NULL, NULL) == NULL)
    return 1;
  return serve(context);
}
