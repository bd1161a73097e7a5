/* A directory below "/", and what leads elsewhere below "/old". */
#include "common.h"

int main(int argc, char **argv) {
  static const struct lws_protocols protocols[] = {{"http", lws_callback_http_dummy, 0, 0, 0, NULL, 0}, {NULL, NULL, 0, 0, 0, NULL, 0}};
  static struct lws_http_mount files, old;
  struct lws_context_creation_info info;
  prepare(&info, argc, argv);
  old.mountpoint = "/old";
  old.mountpoint_len = 4;
  old.origin = "localhost/new";
  old.origin_protocol = LWSMPRO_REDIR_HTTP;
  files.mount_next = &old;
  files.mountpoint = "/";
  files.mountpoint_len = 1;
  files.origin = argc > 2 ? argv[2] : ".";
  files.def = "index.html";
  files.origin_protocol = LWSMPRO_FILE;
  info.protocols = protocols;
  info.mounts = &files;
  return serve(lws_create_context(&info));
}
