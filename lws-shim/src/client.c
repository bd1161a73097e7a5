/* What a program opens by itself: requests and WebSockets to servers, descriptors, UDP sockets. */
#include "shim.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

/* ---- Clients ---- */

static void on_response(lwx_service *service, lwx_key key, const lwx_response *response, void *user) {
  struct lws *wsi = user;
  (void)service;
  (void)key;
  wsi->status = response->status;
  if (wsi->kind == KIND_HTTP_CLIENT) {
    wsi->opened = 1;
    call_or_end(wsi, LWS_CALLBACK_ESTABLISHED_CLIENT_HTTP, NULL, 0);
  }
}

static void on_open(lwx_service *service, lwx_key key, void *user) {
  struct lws *wsi = user;
  (void)service;
  (void)key;
  wsi->opened = 1;
  call_or_end(wsi, LWS_CALLBACK_CLIENT_ESTABLISHED, NULL, 0);
}

static void on_message(lwx_service *service, lwx_key key, const uint8_t *bytes, size_t size, uint32_t flags, void *user) {
  (void)service;
  (void)key;
  receive_pieces(user, LWS_CALLBACK_CLIENT_RECEIVE, bytes, size, flags);
}

/* The program fetches content by lws_http_client_read(), piece by piece. What it does not fetch is dropped. */
static void on_content(lwx_service *service, lwx_key key, const uint8_t *bytes, size_t size, uint32_t flags, void *user) {
  struct lws *wsi = user;
  (void)service;
  (void)key;
  wsi->received = bytes;
  wsi->received_size = size;
  while (wsi->received_size > 0 && !wsi->ending) {
    size_t before = wsi->received_size;
    if (call_or_end(wsi, LWS_CALLBACK_RECEIVE_CLIENT_HTTP, NULL, 0) != 0 || wsi->received_size == before)
      break;
  }
  wsi->received = NULL;
  wsi->received_size = 0;
  if (flags & LWX_END && !wsi->ending) {
    wsi->final = 1;
    call_or_end(wsi, LWS_CALLBACK_COMPLETED_CLIENT_HTTP, NULL, 0);
  }
}

int lws_http_client_read(struct lws *wsi, char **buffer, int *length) {
  size_t size = wsi->received_size < (size_t)*length ? wsi->received_size : (size_t)*length;
  if (wsi->received == NULL || size == 0) {
    *length = 0;
    return 0;
  }
  memcpy(*buffer, wsi->received, size);
  wsi->received += size;
  wsi->received_size -= size;
  *length = (int)size;
  return call(wsi, LWS_CALLBACK_RECEIVE_CLIENT_HTTP_READ, *buffer, size) != 0 ? -1 : 0;
}

unsigned int lws_http_client_http_response(struct lws *wsi) {
  return wsi->status;
}

static void on_closed(lwx_service *service, lwx_key key, const lwx_closed *closed, void *user) {
  struct lws *wsi = user;
  (void)service;
  (void)key;
  wsi->ending = 1;
  if (!wsi->opened) {
    char *why = copy_text(closed->detail.size ? closed->detail : closed->name);
    call(wsi, LWS_CALLBACK_CLIENT_CONNECTION_ERROR, why, why ? strlen(why) : 0);
    free(why);
  } else {
    call(wsi, wsi->kind == KIND_HTTP_CLIENT ? LWS_CALLBACK_CLOSED_CLIENT_HTTP : LWS_CALLBACK_CLIENT_CLOSED, NULL, 0);
  }
  connection_free(wsi);
}

#define HANDSHAKE_BYTES 2048
#define HANDSHAKE_FIELDS 24

/* Has the program add its fields, as lines, and reads them. */
static size_t handshake_fields(struct lws *wsi, char *lines, lwx_field *fields, size_t count) {
  unsigned char *at = (unsigned char *)lines;
  char *line = lines, *end;
  if (call(wsi, LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER, &at, HANDSHAKE_BYTES) != 0)
    return (size_t)-1;
  *at = 0;
  while (*line && count < HANDSHAKE_FIELDS && (end = strstr(line, "\r\n")) != NULL) {
    char *colon = memchr(line, ':', (size_t)(end - line));
    if (colon) {
      fields[count].name.data = line;
      fields[count].name.size = (size_t)(colon - line);
      colon += strspn(colon, ": ");
      fields[count].value.data = colon;
      fields[count++].value.size = (size_t)(end - colon);
    }
    line = end + 2;
  }
  return count;
}

static int client_begin(struct lws *wsi, const struct lws_client_connect_info *info) {
  char url[2048], lines[HANDSHAKE_BYTES + 1];
  lwx_field fields[HANDSHAKE_FIELDS];
  lwx_connect_options options;
  lwx_handler handler;
  size_t count = 0;
  int is_http = wsi->kind == KIND_HTTP_CLIENT, tls = info->ssl_connection & LCCSCF_USE_SSL;
  int size = snprintf(url, sizeof url, "%s%s://%s:%d%s%s", is_http ? "http" : "ws", tls ? "s" : "", info->address, info->port,
                      info->path && *info->path == '/' ? "" : "/", info->path ? info->path : "");
  if (size < 0 || (size_t)size >= sizeof url)
    return -1;
  if (info->origin && !is_http)
    fields[count++] = lwx_line("origin", info->origin);
  count = handshake_fields(wsi, lines, fields, count);
  if (count == (size_t)-1)
    return -1;
  LWX_INIT(&options);
  options.flags = is_http ? LWX_CONNECT_FOLLOW : 0;
  options.method = is_http ? info->method : NULL;
  options.protocols = is_http ? NULL : info->protocol;
  options.fields = fields;
  options.field_count = count;
  options.tls_roots = wsi->vhost->roots;
  LWX_INIT(&handler);
  handler.response = on_response;
  handler.open = on_open;
  handler.data = is_http ? on_content : on_message;
  handler.writable = on_stream_writable;
  handler.closed = on_closed;
  handler.flags = is_http ? 0 : LWX_HANDLER_STREAMED;
  handler.user = wsi;
  return is_http ? lwx_fetch(wsi->vhost->service, url, &options, &handler, &wsi->key)
                 : lwx_connect_websocket(wsi->vhost->service, url, &options, &handler, &wsi->key);
}

struct lws *lws_client_connect_via_info(const struct lws_client_connect_info *info) {
  struct lws_vhost *vhost = info->vhost ? info->vhost : info->context->vhosts;
  const struct lws_protocols *protocol;
  struct lws *wsi;
  if (vhost == NULL || vhost_start(vhost) < 0)
    return NULL;
  protocol = protocol_by_name(vhost, info->local_protocol_name ? info->local_protocol_name : info->protocol);
  wsi = connection_new(vhost, info->method ? KIND_HTTP_CLIENT : KIND_WS_CLIENT, 0, protocol);
  if (wsi == NULL)
    return NULL;
  if (info->userdata)
    lws_set_wsi_user(wsi, info->userdata);
  wsi->opaque = info->opaque_user_data;
  wsi->known_as = info->pwsi;
  if (info->pwsi)
    *info->pwsi = wsi;
  if (client_begin(wsi, info) < 0) {
    call(wsi, LWS_CALLBACK_CLIENT_CONNECTION_ERROR, NULL, 0);
    connection_free(wsi);
    return NULL;
  }
  return wsi;
}

/* ---- Descriptors ---- */

/* What is watched has ended: not before its last callback has returned. */
static void on_watched_gone(void *user) {
  struct lws *wsi = user;
  /* Of one that ends with its context, the program knows already. */
  if (wsi->kind != KIND_NONE)
    call(wsi, wsi->kind == KIND_FILE ? LWS_CALLBACK_RAW_CLOSE_FILE : LWS_CALLBACK_RAW_CLOSE, NULL, 0);
  connection_free(wsi);
}

static void on_file_ready(lwx_service *service, lwx_key key, uint32_t events, void *user) {
  (void)service;
  (void)key;
  if (events & (LWX_READ | LWX_HANG_UP))
    call_or_end(user, LWS_CALLBACK_RAW_RX_FILE, NULL, 0);
  else
    end_connection(user);
}

static void on_datagram_ready(lwx_service *service, lwx_key key, uint32_t events, void *user) {
  struct lws *wsi = user;
  unsigned char bytes[65536];
  ssize_t size;
  (void)service;
  (void)key;
  (void)events;
  wsi->peer.salen = sizeof wsi->peer.sa;
  size = recvfrom(wsi->fd, bytes, sizeof bytes, MSG_DONTWAIT, &wsi->peer.sa, &wsi->peer.salen);
  if (size >= 0)
    call_or_end(wsi, LWS_CALLBACK_RAW_RX, bytes, (size_t)size);
}

static struct lws *watch(struct lws *wsi, int fd,
                         void (*ready)(lwx_service *service, lwx_key key, uint32_t events, void *user)) {
  wsi->fd = fd;
  if (lwx_watch(wsi->vhost->service, fd, ready, wsi, on_watched_gone, &wsi->key) < 0)
    return NULL;
  if (call_or_end(wsi, wsi->kind == KIND_FILE ? LWS_CALLBACK_RAW_ADOPT_FILE : LWS_CALLBACK_RAW_ADOPT, NULL, 0) != 0)
    return NULL;
  return wsi;
}

static struct lws *adopt_stream(struct lws *wsi, int fd) {
  lwx_handler handler;
  describe_handler(&handler, KIND_RAW);
  /* It is open already. */
  handler.open = NULL;
  handler.user = wsi;
  wsi->opened = 1;
  if (lwx_adopt(wsi->vhost->service, fd, &handler, &wsi->key) < 0) {
    connection_free(wsi);
    return NULL;
  }
  call_or_end(wsi, LWS_CALLBACK_RAW_ADOPT, NULL, 0);
  return wsi;
}

struct lws *lws_adopt_descriptor_vhost(struct lws_vhost *vhost, lws_adoption_type type, lws_sock_file_fd_type fd,
                                       const char *protocol, struct lws *parent) {
  const struct lws_protocols *named = protocol_by_name(vhost, protocol);
  enum kind kind = !(type & LWS_ADOPT_SOCKET) ? KIND_FILE : type & LWS_ADOPT_FLAG_UDP ? KIND_UDP : KIND_RAW;
  struct lws *wsi;
  (void)parent;
  /* Of a socket with HTTP there is a listener to take it. */
  if (vhost_start(vhost) < 0 || type & LWS_ADOPT_HTTP || (wsi = connection_new(vhost, kind, 0, named)) == NULL)
    return NULL;
  if (kind == KIND_RAW)
    return adopt_stream(wsi, fd.sockfd);
  return watch(wsi, kind == KIND_FILE ? fd.filefd : fd.sockfd, kind == KIND_FILE ? on_file_ready : on_datagram_ready);
}

struct lws *lws_create_adopt_udp(struct lws_vhost *vhost, const char *address, int port, int flags, const char *protocol,
                                 const char *iface, struct lws *parent, void *opaque, const lws_retry_bo_t *retry) {
  struct sockaddr_in local;
  lws_sock_file_fd_type fd;
  struct lws *wsi;
  (void)iface;
  (void)retry;
  memset(&local, 0, sizeof local);
  local.sin_family = AF_INET;
  local.sin_port = htons((uint16_t)(port > 0 ? port : 0));
  local.sin_addr.s_addr = htonl(INADDR_ANY);
  if (address && inet_pton(AF_INET, address, &local.sin_addr) != 1)
    return NULL;
  fd.sockfd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd.sockfd < 0)
    return NULL;
  if (flags & LWS_CAUDP_BIND && bind(fd.sockfd, (struct sockaddr *)&local, sizeof local) != 0) {
    close(fd.sockfd);
    return NULL;
  }
  wsi = lws_adopt_descriptor_vhost(vhost, LWS_ADOPT_RAW_SOCKET_UDP, fd, protocol, parent);
  if (wsi)
    wsi->opaque = opaque;
  return wsi;
}
