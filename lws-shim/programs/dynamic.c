/* Pages that are made piece by piece: the head first, then a line with each permit, then the end. */
#include "common.h"

struct session {
  char path[128];
  int lines;
};

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
  struct session *session = user;
  unsigned char buffer[LWS_PRE + 2048], *start = &buffer[LWS_PRE], *at = start, *end = &buffer[sizeof buffer - 1];
  int size;
  (void)len;
  switch (reason) {
  case LWS_CALLBACK_HTTP:
    lws_snprintf(session->path, sizeof session->path, "%s", (const char *)in);
    session->lines = 0;
    if (lws_add_http_common_headers(wsi, HTTP_STATUS_OK, "text/plain", LWS_ILLEGAL_HTTP_CONTENT_LEN, &at, end) ||
        lws_add_http_header_by_name(wsi, (const unsigned char *)"x-made-by:", (const unsigned char *)"hand", 4, &at, end) ||
        lws_finalize_write_http_header(wsi, start, &at, end))
      return 1;
    lws_callback_on_writable(wsi);
    return 0;
  case LWS_CALLBACK_HTTP_WRITEABLE:
    if (session == NULL || session->lines > 5)
      return 0;
    if (session->lines == 0)
      size = lws_snprintf((char *)start, 1024, "path %s\n", session->path);
    else
      size = lws_snprintf((char *)start, 1024, "line %d\n", session->lines);
    if (lws_write(wsi, start, (size_t)size, session->lines == 5 ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) != size)
      return 1;
    if (session->lines++ == 5)
      return lws_http_transaction_completed(wsi) ? -1 : 0;
    lws_callback_on_writable(wsi);
    return 0;
  default:
    return lws_callback_http_dummy(wsi, reason, user, in, len);
  }
}

int main(int argc, char **argv) {
  static const struct lws_protocols protocols[] = {{"http", callback, sizeof(struct session), 0, 0, NULL, 0}, {NULL, NULL, 0, 0, 0, NULL, 0}};
  static struct lws_http_mount dynamic;
  struct lws_context_creation_info info;
  prepare(&info, argc, argv);
  dynamic.mountpoint = "/dyn";
  dynamic.mountpoint_len = 4;
  dynamic.protocol = "http";
  dynamic.origin_protocol = LWSMPRO_CALLBACK;
  info.protocols = protocols;
  info.mounts = &dynamic;
  return serve(lws_create_context(&info));
}
