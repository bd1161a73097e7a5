/* A descriptor that is not a socket: lines of the standard input go to all WebSockets. */
#include "common.h"

#include <unistd.h>

static char line[1024];
static size_t line_size;
static unsigned int number;
static struct lws_context *context;

struct session {
  unsigned int seen;
};

static const struct lws_protocols *websockets(void);

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
  struct session *session = user;
  unsigned char buffer[LWS_PRE + sizeof line];
  ssize_t size;
  switch (reason) {
  case LWS_CALLBACK_RAW_RX_FILE:
    size = read(lws_get_socket_fd(wsi), line, sizeof line);
    if (size <= 0)
      return -1;
    line_size = (size_t)size;
    number++;
    lws_callback_on_writable_all_protocol(context, websockets());
    return 0;
  case LWS_CALLBACK_RAW_CLOSE_FILE:
    interrupted = 1;
    return 0;
  case LWS_CALLBACK_ESTABLISHED:
    session->seen = number;
    return 0;
  case LWS_CALLBACK_SERVER_WRITEABLE:
    if (session->seen == number)
      return 0;
    session->seen = number;
    memcpy(&buffer[LWS_PRE], line, line_size);
    return lws_write(wsi, &buffer[LWS_PRE], line_size, LWS_WRITE_TEXT) < (int)line_size ? -1 : 0;
  default:
    return lws_callback_http_dummy(wsi, reason, user, in, len);
  }
}

static const struct lws_protocols protocols[] = {{"lines", callback, sizeof(struct session), 0, 0, NULL, 0},
                                                 {NULL, NULL, 0, 0, 0, NULL, 0}};

static const struct lws_protocols *websockets(void) {
  return &protocols[0];
}

int main(int argc, char **argv) {
  struct lws_context_creation_info info;
  struct lws_vhost *vhost;
  lws_sock_file_fd_type input;
  prepare(&info, argc, argv);
  info.options |= LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
  context = lws_create_context(&info);
  if (context == NULL)
    return 1;
  info.protocols = protocols;
  vhost = lws_create_vhost(context, &info);
  input.filefd = STDIN_FILENO;
  if (vhost == NULL || lws_adopt_descriptor_vhost(vhost, LWS_ADOPT_RAW_FILE_DESC, input, "lines", NULL) == NULL)
    return 1;
  return serve(context);
}
