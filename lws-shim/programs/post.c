/* The content of requests is counted as it comes, and answered with its length and sum. */
#include "common.h"

struct session {
  unsigned long bytes, sum;
};

static int answer(struct lws *wsi, struct session *session) {
  unsigned char buffer[LWS_PRE + 1024], *start = &buffer[LWS_PRE], *at = start, *end = &buffer[sizeof buffer - 1];
  char text[64];
  int size = lws_snprintf(text, sizeof text, "%lu bytes, sum %lu\n", session->bytes, session->sum);
  if (lws_add_http_common_headers(wsi, HTTP_STATUS_OK, "text/plain", (unsigned int)size, &at, end) ||
      lws_finalize_write_http_header(wsi, start, &at, end))
    return -1;
  memcpy(start, text, (size_t)size);
  if (lws_write(wsi, start, (size_t)size, LWS_WRITE_HTTP_FINAL) != size)
    return -1;
  return lws_http_transaction_completed(wsi) ? -1 : 0;
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
  struct session *session = user;
  size_t at;
  switch (reason) {
  case LWS_CALLBACK_HTTP:
    session->bytes = session->sum = 0;
    if (lws_hdr_total_length(wsi, WSI_TOKEN_POST_URI) == 0) {
      if (lws_return_http_status(wsi, HTTP_STATUS_METHOD_NOT_ALLOWED, NULL))
        return -1;
      return lws_http_transaction_completed(wsi) ? -1 : 0;
    }
    return 0;
  case LWS_CALLBACK_HTTP_BODY:
    session->bytes += len;
    for (at = 0; at < len; at++)
      session->sum += ((const unsigned char *)in)[at];
    return 0;
  case LWS_CALLBACK_HTTP_BODY_COMPLETION:
    return answer(wsi, session);
  default:
    return lws_callback_http_dummy(wsi, reason, user, in, len);
  }
}

int main(int argc, char **argv) {
  static const struct lws_protocols protocols[] = {{"http", callback, sizeof(struct session), 0, 0, NULL, 0}, {NULL, NULL, 0, 0, 0, NULL, 0}};
  struct lws_context_creation_info info;
  prepare(&info, argc, argv);
  info.protocols = protocols;
  return serve(lws_create_context(&info));
}
