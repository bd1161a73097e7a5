/* What peers bring: requests, WebSockets, raw connections; and what a program answers to requests. */
#include "shim.h"

#include <strings.h>

char *copy_text(lwx_str text) {
  char *copy = malloc(text.size + 1);
  if (copy) {
    memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
  }
  return copy;
}

/* ---- Request heads ---- */

static char *copy_field(lwx_service *service, lwx_key key, const char *name) {
  lwx_str value;
  return lwx_get_field(service, key, name, 0, &value) == 1 ? copy_text(value) : NULL;
}

void head_capture(struct lws *wsi, lwx_service *service) {
  struct head *head = &wsi->head;
  lwx_request request;
  LWX_INIT(&request);
  if (lwx_get_request(service, wsi->key, &request) < 0)
    return;
  head->method = copy_text(request.method);
  head->path = copy_text(request.path);
  head->query = copy_text(request.query);
  head->host = copy_field(service, wsi->key, "host");
  head->origin = copy_field(service, wsi->key, "origin");
  head->protocol = copy_field(service, wsi->key, "sec-websocket-protocol");
  head->user_agent = copy_field(service, wsi->key, "user-agent");
  head->accept = copy_field(service, wsi->key, "accept");
  head->cookie = copy_field(service, wsi->key, "cookie");
  head->content_length = copy_field(service, wsi->key, "content-length");
  head->content_type = copy_field(service, wsi->key, "content-type");
}

void head_free(struct head *head) {
  char **fields[] = {&head->method, &head->path,   &head->query,  &head->host,           &head->origin,      &head->protocol,
                     &head->user_agent, &head->accept, &head->cookie, &head->content_length, &head->content_type};
  size_t at;
  for (at = 0; at < LWS_ARRAY_SIZE(fields); at++)
    free(*fields[at]);
}

static const char *head_token(const struct lws *wsi, enum lws_token_indexes token) {
  const struct head *head = &wsi->head;
  switch (token) {
  case WSI_TOKEN_GET_URI:
    return head->method && strcmp(head->method, "GET") == 0 ? head->path : NULL;
  case WSI_TOKEN_POST_URI:
    return head->method && strcmp(head->method, "POST") == 0 ? head->path : NULL;
  case WSI_TOKEN_HOST:
    return head->host;
  case WSI_TOKEN_ORIGIN:
    return head->origin;
  case WSI_TOKEN_PROTOCOL:
    return head->protocol;
  case WSI_TOKEN_HTTP_USER_AGENT:
    return head->user_agent;
  case WSI_TOKEN_HTTP_ACCEPT:
    return head->accept;
  case WSI_TOKEN_HTTP_COOKIE:
    return head->cookie;
  case WSI_TOKEN_HTTP_CONTENT_LENGTH:
    return head->content_length;
  case WSI_TOKEN_HTTP_CONTENT_TYPE:
    return head->content_type;
  case WSI_TOKEN_HTTP_URI_ARGS:
    return head->query && *head->query ? head->query : NULL;
  default:
    return NULL;
  }
}

int lws_hdr_total_length(struct lws *wsi, enum lws_token_indexes token) {
  const char *value = head_token(wsi, token);
  return value ? (int)strlen(value) : 0;
}

int lws_hdr_copy(struct lws *wsi, char *to, int size, enum lws_token_indexes token) {
  const char *value = head_token(wsi, token);
  int length = value ? (int)strlen(value) : 0;
  if (size > 0)
    *to = 0;
  if (length >= size)
    return -1;
  if (value)
    memcpy(to, value, (size_t)length + 1);
  return length;
}

static int hex_digit(char digit) {
  if (digit >= '0' && digit <= '9')
    return digit - '0';
  digit = (char)(digit | 0x20);
  return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

const char *lws_get_urlarg_by_name(struct lws *wsi, const char *name, char *to, int size) {
  const char *at = wsi->head.query;
  size_t length = strlen(name);
  /* With or without "=" at its end, as programs write it. */
  if (length > 0 && name[length - 1] == '=')
    length--;
  while (at && *at) {
    if (strncmp(at, name, length) == 0 && at[length] == '=') {
      int put = 0;
      for (at += length + 1; *at && *at != '&' && put + 1 < size; at++) {
        int high = *at == '%' ? hex_digit(at[1]) : -1, low = high >= 0 ? hex_digit(at[2]) : -1;
        to[put++] = low >= 0 ? (char)(high * 16 + low) : *at == '+' ? ' ' : *at;
        if (low >= 0)
          at += 2;
      }
      to[put] = 0;
      return to;
    }
    at = strchr(at, '&');
    at = at ? at + 1 : NULL;
  }
  return NULL;
}

/* ---- Responses ---- */

static int put(unsigned char **at, unsigned char *end, const void *bytes, size_t size) {
  if ((size_t)(end - *at) < size)
    return 1;
  memcpy(*at, bytes, size);
  *at += size;
  return 0;
}

int lws_add_http_header_status(struct lws *wsi, unsigned int code, unsigned char **at, unsigned char *end) {
  char line[64];
  (void)wsi;
  return put(at, end, line, (size_t)snprintf(line, sizeof line, "HTTP/1.1 %u Status\r\n", code & 0xffffu));
}

int lws_add_http_header_by_name(struct lws *wsi, const unsigned char *name, const unsigned char *value, int length,
                                unsigned char **at, unsigned char *end) {
  size_t name_size = strlen((const char *)name);
  (void)wsi;
  /* The colon may be there already. */
  if (name_size > 0 && name[name_size - 1] == ':')
    name_size--;
  return put(at, end, name, name_size) || put(at, end, ": ", 2) || put(at, end, value, (size_t)length) || put(at, end, "\r\n", 2);
}

int lws_add_http_header_by_token(struct lws *wsi, enum lws_token_indexes token, const unsigned char *value, int length,
                                 unsigned char **at, unsigned char *end) {
  const char *name = NULL;
  switch (token) {
  case WSI_TOKEN_HTTP_CONTENT_TYPE:
    name = "content-type";
    break;
  case WSI_TOKEN_HTTP_CONTENT_LENGTH:
    name = "content-length";
    break;
  case WSI_TOKEN_HTTP_LOCATION:
    name = "location";
    break;
  case WSI_TOKEN_HTTP_SERVER:
    name = "server";
    break;
  case WSI_TOKEN_HTTP_SET_COOKIE:
    name = "set-cookie";
    break;
  case WSI_TOKEN_HTTP_CACHE_CONTROL:
    name = "cache-control";
    break;
  default:
    return 1;
  }
  return lws_add_http_header_by_name(wsi, (const unsigned char *)name, value, length, at, end);
}

int lws_add_http_header_content_length(struct lws *wsi, lws_filepos_t length, unsigned char **at, unsigned char *end) {
  char text[32];
  int size = snprintf(text, sizeof text, "%llu", length);
  return lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, (unsigned char *)text, size, at, end);
}

int lws_add_http_common_headers(struct lws *wsi, unsigned int code, const char *content_type, lws_filepos_t content_length,
                                unsigned char **at, unsigned char *end) {
  if (lws_add_http_header_status(wsi, code, at, end))
    return 1;
  if (content_type && lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_CONTENT_TYPE, (const unsigned char *)content_type,
                                                   (int)strlen(content_type), at, end))
    return 1;
  return content_length != LWS_ILLEGAL_HTTP_CONTENT_LEN && lws_add_http_header_content_length(wsi, content_length, at, end);
}

int lws_finalize_http_header(struct lws *wsi, unsigned char **at, unsigned char *end) {
  (void)wsi;
  return put(at, end, "\r\n", 2);
}

int lws_finalize_write_http_header(struct lws *wsi, unsigned char *start, unsigned char **at, unsigned char *end) {
  if (lws_finalize_http_header(wsi, at, end))
    return 1;
  if (write_head(wsi, start, (size_t)(*at - start)) < 0)
    return 1;
  *at = start;
  return 0;
}

#define FIELDS_MAX 64

/* Reads one line as a field. What the library writes by itself is left out. */
static size_t read_field(lwx_field *field, const char *line, size_t size) {
  const char *colon = memchr(line, ':', size);
  if (colon == NULL)
    return 0;
  field->name.data = line;
  field->name.size = (size_t)(colon - line);
  field->value.data = colon + 1;
  field->value.size = size - field->name.size - 1;
  while (field->value.size > 0 && *field->value.data == ' ') {
    field->value.data++;
    field->value.size--;
  }
  return !(field->name.size == 10 && strncasecmp(line, "connection", 10) == 0) &&
         !(field->name.size == 17 && strncasecmp(line, "transfer-encoding", 17) == 0);
}

int write_head(struct lws *wsi, const unsigned char *bytes, size_t size) {
  const char *at = (const char *)bytes, *end = at + size;
  lwx_field fields[FIELDS_MAX];
  size_t count = 0;
  unsigned int status = 200;
  int no_content = 0;
  while (at < end) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    size_t length = (size_t)((stop ? stop : end) - at);
    size_t line = length > 0 && at[length - 1] == '\r' ? length - 1 : length;
    if (line > 9 && memcmp(at, "HTTP/1.", 7) == 0)
      status = (unsigned int)atoi(at + 9);
    else if (line > 0 && count < FIELDS_MAX) {
      size_t is_field = read_field(&fields[count], at, line);
      no_content |= is_field && fields[count].name.size == 14 && strncasecmp(at, "content-length", 14) == 0 &&
                    fields[count].value.size == 1 && *fields[count].value.data == '0';
      count += is_field;
    }
    at += length + 1;
  }
  if (wsi->responded)
    return -1;
  wsi->response_ended = no_content;
  if (lwx_respond(wsi->vhost->service, wsi->key, status, fields, count, NULL, 0, no_content ? LWX_END : 0) < 0)
    return -1;
  wsi->responded = 1;
  return (int)size;
}

static int respond(struct lws *wsi, unsigned int status, const lwx_field *fields, size_t count, const char *content) {
  if (wsi->responded)
    return -1;
  if (lwx_respond(wsi->vhost->service, wsi->key, status, fields, count, content, strlen(content), LWX_END) < 0)
    return -1;
  wsi->responded = wsi->response_ended = 1;
  return 0;
}

int lws_return_http_status(struct lws *wsi, unsigned int code, const char *body) {
  char page[512];
  lwx_field type = lwx_line("content-type", "text/html");
  snprintf(page, sizeof page, "<html><head><meta charset=utf-8></head><body><h1>%u</h1>%.300s</body></html>", code, body ? body : "");
  return respond(wsi, code, &type, 1, page) < 0 ? -1 : 0;
}

int lws_http_redirect(struct lws *wsi, int code, const unsigned char *location, int length, unsigned char **at,
                      unsigned char *end) {
  lwx_field field = lwx_line("location", "");
  (void)at;
  (void)end;
  field.value.data = (const char *)location;
  field.value.size = (size_t)length;
  return respond(wsi, (unsigned int)code, &field, 1, "") < 0 ? -1 : 0;
}

/* There is another transaction for the program with another `struct lws`: this one only has to end. */
int lws_http_transaction_completed(struct lws *wsi) {
  if (wsi->kind != KIND_HTTP)
    return 0;
  if (!wsi->responded && lws_return_http_status(wsi, 500, NULL) < 0)
    return -1;
  if (!wsi->response_ended) {
    wsi->response_ended = 1;
    return send_or_queue(wsi, NULL, 0, LWX_END) < 0 ? -1 : 0;
  }
  return 0;
}

int lws_callback_http_dummy(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
  (void)user;
  (void)in;
  (void)len;
  switch (reason) {
  case LWS_CALLBACK_HTTP:
    if (lws_return_http_status(wsi, HTTP_STATUS_NOT_FOUND, NULL))
      return -1;
    return lws_http_transaction_completed(wsi) ? -1 : 0;
  case LWS_CALLBACK_HTTP_BODY_COMPLETION:
    if (!wsi->responded && lws_return_http_status(wsi, HTTP_STATUS_OK, NULL))
      return -1;
    return lws_http_transaction_completed(wsi) ? -1 : 0;
  case LWS_CALLBACK_HTTP_FILE_COMPLETION:
    return lws_http_transaction_completed(wsi) ? -1 : 0;
  default:
    return 0;
  }
}

int lws_serve_http_file(struct lws *wsi, const char *file, const char *content_type, const char *other_headers, int length) {
  unsigned char head[2048], *at = head, *end = head + sizeof head - 1;
  long size;
  wsi->file = fopen(file, "rb");
  if (wsi->file == NULL || fseek(wsi->file, 0, SEEK_END) != 0 || (size = ftell(wsi->file)) < 0) {
    lws_return_http_status(wsi, HTTP_STATUS_NOT_FOUND, NULL);
    return -1;
  }
  rewind(wsi->file);
  if (lws_add_http_common_headers(wsi, HTTP_STATUS_OK, content_type, (lws_filepos_t)size, &at, end))
    return -1;
  if (other_headers && length > 0 && put(&at, end, other_headers, (size_t)length))
    return -1;
  if (lws_finalize_write_http_header(wsi, head, &at, end))
    return -1;
  lwx_want_write(wsi->vhost->service, wsi->key);
  return 0;
}

void serve_file_piece(struct lws *wsi) {
  unsigned char piece[16384];
  size_t size = fread(piece, 1, sizeof piece, wsi->file);
  int last = feof(wsi->file) || size == 0;
  if (!wsi->response_ended && send_or_queue(wsi, piece, size, last ? LWX_END : 0) < 0) {
    end_connection(wsi);
    return;
  }
  if (!last) {
    lwx_want_write(wsi->vhost->service, wsi->key);
    return;
  }
  fclose(wsi->file);
  wsi->file = NULL;
  wsi->response_ended = 1;
  call_or_end(wsi, LWS_CALLBACK_HTTP_FILE_COMPLETION, NULL, 0);
}

/* ---- Requests ---- */

/* Where a mount leads instead of a protocol: to its origin, whatever the path behind its own. */
static int answer_redirect(struct lws *wsi) {
  char location[1024];
  const char *scheme = wsi->mount->origin_protocol == LWSMPRO_REDIR_HTTPS ? "https" : "http";
  int size = snprintf(location, sizeof location, "%s://%s", scheme, wsi->mount->origin);
  unsigned char *at = (unsigned char *)location;
  if (size < 0 || (size_t)size >= sizeof location)
    return -1;
  return lws_http_redirect(wsi, HTTP_STATUS_MOVED_PERMANENTLY, at, size, &at, at);
}

/* The path behind that of the mount; all of it without one. */
static char *path_below(struct lws *wsi) {
  size_t skip = wsi->mount ? strlen(wsi->mount->mountpoint) : 0;
  char *path = wsi->head.path ? wsi->head.path : (char *)"/";
  if (skip == 1)
    return path;
  return strlen(path) >= skip ? path + skip : path;
}

static void on_request(lwx_service *service, lwx_key key, uint32_t flags, void *user) {
  struct mounted *mounted = user;
  const struct lws_http_mount *mount = mounted->mount;
  const struct lws_protocols *protocol = protocol_by_name(mounted->vhost, mount ? mount->protocol : NULL);
  struct lws *wsi;
  char *path;
  if (protocol == NULL && mount && mount->origin_protocol == LWSMPRO_CALLBACK)
    protocol = protocol_by_name(mounted->vhost, mount->origin);
  wsi = connection_new(mounted->vhost, KIND_HTTP, key, protocol);
  lwx_set_user(service, key, wsi, NULL);
  if (wsi == NULL) {
    lwx_abort(service, key);
    return;
  }
  wsi->mount = mount;
  head_capture(wsi, service);
  path = path_below(wsi);
  if (mount && (mount->origin_protocol == LWSMPRO_REDIR_HTTP || mount->origin_protocol == LWSMPRO_REDIR_HTTPS)) {
    if (answer_redirect(wsi) < 0)
      end_connection(wsi);
    return;
  }
  if (call_or_end(wsi, LWS_CALLBACK_HTTP_BIND_PROTOCOL, NULL, 0) != 0 ||
      call_or_end(wsi, LWS_CALLBACK_FILTER_HTTP_CONNECTION, path, strlen(path)) != 0 ||
      call_or_end(wsi, LWS_CALLBACK_HTTP, path, strlen(path)) != 0)
    return;
  if (flags & LWX_END && wsi->head.method && strcmp(wsi->head.method, "POST") == 0)
    call_or_end(wsi, LWS_CALLBACK_HTTP_BODY_COMPLETION, NULL, 0);
}

static void on_content(lwx_service *service, lwx_key key, const uint8_t *bytes, size_t size, uint32_t flags, void *user) {
  struct lws *wsi = user;
  (void)service;
  (void)key;
  if (wsi == NULL || wsi->ending)
    return;
  if (size > 0)
    receive_pieces(wsi, LWS_CALLBACK_HTTP_BODY, bytes, size, flags);
  if (flags & LWX_END)
    call_or_end(wsi, LWS_CALLBACK_HTTP_BODY_COMPLETION, NULL, 0);
}

/* ---- WebSockets ---- */

/* The protocol that lwx chooses of those that the client offers: the first that is known. Without an offer it is the first of the vhost. */
static const struct lws_protocols *offered_protocol(struct lws_vhost *vhost, const char *offer) {
  char name[128];
  while (offer && *offer) {
    size_t skip = strspn(offer, ", \t"), size = strcspn(offer + skip, ", \t");
    const struct lws_protocols *found;
    if (size > 0 && size < sizeof name) {
      memcpy(name, offer + skip, size);
      name[size] = 0;
      if ((found = protocol_by_name(vhost, name)) != NULL)
        return found;
    }
    offer += skip + size;
  }
  return NULL;
}

/* There is no end of what has not begun: it is freed here. */
static int32_t refuse(struct lws *wsi, int32_t status) {
  lwx_set_user(wsi->vhost->service, wsi->key, NULL, NULL);
  connection_free(wsi);
  return status;
}

static int32_t on_accept(lwx_service *service, lwx_key key, void *user) {
  struct lws_vhost *vhost = user;
  struct lws *wsi = connection_new(vhost, KIND_WS, key, NULL);
  const struct lws_protocols *protocol;
  if (wsi == NULL)
    return 503;
  lwx_set_user(service, key, wsi, NULL);
  head_capture(wsi, service);
  protocol = offered_protocol(vhost, wsi->head.protocol);
  if (protocol == NULL && wsi->head.protocol)
    return refuse(wsi, 400);
  if (protocol && protocol != wsi->protocol) {
    wsi->protocol = protocol;
    free(wsi->user);
    wsi->owns_user = protocol->per_session_data_size > 0;
    wsi->user = wsi->owns_user ? calloc(1, protocol->per_session_data_size) : NULL;
  }
  return call(wsi, LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION, wsi->head.path, 0) != 0 ? refuse(wsi, 403) : 0;
}

static void on_open(lwx_service *service, lwx_key key, void *user) {
  struct lws *wsi = user;
  (void)service;
  (void)key;
  wsi->opened = 1;
  call_or_end(wsi, LWS_CALLBACK_ESTABLISHED, NULL, 0);
}

static void on_message(lwx_service *service, lwx_key key, const uint8_t *bytes, size_t size, uint32_t flags, void *user) {
  (void)service;
  (void)key;
  if (user)
    receive_pieces(user, LWS_CALLBACK_RECEIVE, bytes, size, flags);
}

static void on_control(lwx_service *service, lwx_key key, int32_t kind, lwx_str payload, void *user) {
  struct lws *wsi = user;
  (void)service;
  (void)key;
  if (wsi && kind == LWX_CONTROL_PONG)
    call_or_end(wsi, LWS_CALLBACK_RECEIVE_PONG, (void *)payload.data, payload.size);
}

/* ---- Raw connections ---- */

static void on_raw_open(lwx_service *service, lwx_key key, void *user) {
  struct lws_vhost *vhost = user;
  struct lws *wsi = connection_new(vhost, KIND_RAW, key, vhost->raw_protocol);
  lwx_set_user(service, key, wsi, NULL);
  if (wsi == NULL) {
    lwx_abort(service, key);
    return;
  }
  wsi->opened = 1;
  call_or_end(wsi, LWS_CALLBACK_RAW_ADOPT, NULL, 0);
}

static void on_raw(lwx_service *service, lwx_key key, const uint8_t *bytes, size_t size, uint32_t flags, void *user) {
  struct lws *wsi = user;
  (void)service;
  (void)key;
  if (size > 0)
    receive_pieces(wsi, LWS_CALLBACK_RAW_RX, bytes, size, 0);
  /* libwebsockets closes when a peer has ended its direction. */
  if (flags & LWX_END)
    end_connection(wsi);
}

static void on_closed(lwx_service *service, lwx_key key, const lwx_closed *closed, void *user) {
  struct lws *wsi = user;
  (void)service;
  (void)key;
  (void)closed;
  if (wsi == NULL)
    return;
  wsi->ending = 1;
  if (wsi->kind == KIND_HTTP)
    call(wsi, LWS_CALLBACK_CLOSED_HTTP, NULL, 0);
  else if (wsi->kind == KIND_RAW)
    call(wsi, LWS_CALLBACK_RAW_CLOSE, NULL, 0);
  else if (wsi->opened)
    call(wsi, LWS_CALLBACK_CLOSED, NULL, 0);
  connection_free(wsi);
}

void describe_handler(lwx_handler *handler, enum kind kind) {
  LWX_INIT(handler);
  handler->writable = on_stream_writable;
  handler->timer = on_stream_timer;
  handler->closed = on_closed;
  if (kind == KIND_HTTP) {
    handler->request = on_request;
    handler->data = on_content;
  } else if (kind == KIND_WS) {
    handler->accept = on_accept;
    handler->open = on_open;
    handler->data = on_message;
    handler->control = on_control;
  } else {
    handler->open = on_raw_open;
    handler->data = on_raw;
  }
}
