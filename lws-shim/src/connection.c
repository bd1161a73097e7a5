/* One connection: what is called about it, what it writes, and how it ends. */
#include "shim.h"

struct lws *connection_new(struct lws_vhost *vhost, enum kind kind, lwx_key key, const struct lws_protocols *protocol) {
  struct lws *wsi = calloc(1, sizeof *wsi);
  if (wsi == NULL)
    return NULL;
  wsi->vhost = vhost;
  wsi->kind = kind;
  wsi->key = key;
  wsi->fd = -1;
  wsi->protocol = protocol ? protocol : &vhost->protocols[0];
  wsi->queue_end = &wsi->queue;
  if (wsi->protocol->per_session_data_size > 0) {
    wsi->user = calloc(1, wsi->protocol->per_session_data_size);
    wsi->owns_user = 1;
  }
  wsi->next = vhost->connections;
  wsi->at = &vhost->connections;
  if (wsi->next)
    wsi->next->at = &wsi->next;
  vhost->connections = wsi;
  return wsi;
}

static void drop_queue(struct lws *wsi) {
  while (wsi->queue) {
    struct queued *first = wsi->queue;
    wsi->queue = first->next;
    free(first);
  }
  wsi->queue_end = &wsi->queue;
  wsi->queued_bytes = 0;
}

void connection_free(struct lws *wsi) {
  if (wsi->known_as)
    *wsi->known_as = NULL;
  *wsi->at = wsi->next;
  if (wsi->next)
    wsi->next->at = wsi->at;
  if (wsi->timer)
    lwx_timer_cancel(wsi->vhost->service, wsi->timer);
  if (wsi->writable_timer)
    lwx_timer_cancel(wsi->vhost->service, wsi->writable_timer);
  drop_queue(wsi);
  head_free(&wsi->head);
  if (wsi->file)
    fclose(wsi->file);
  if (wsi->owns_user)
    free(wsi->user);
  free(wsi);
}

int call(struct lws *wsi, enum lws_callback_reasons reason, void *in, size_t size) {
  return wsi->protocol->callback ? wsi->protocol->callback(wsi, reason, wsi->user, in, size) : 0;
}

int call_or_end(struct lws *wsi, enum lws_callback_reasons reason, void *in, size_t size) {
  int answer;
  if (wsi->ending)
    return -1;
  answer = call(wsi, reason, in, size);
  if (answer != 0)
    end_connection(wsi);
  return answer;
}

/* Ends the stream, when nothing waits in front of the end. */
static void send_end(struct lws *wsi) {
  lwx_service *service = wsi->vhost->service;
  if (wsi->close_sent)
    return;
  wsi->close_sent = 1;
  switch (wsi->kind) {
  case KIND_WS:
  case KIND_WS_CLIENT:
    /* A code that may not be sent, or a reason that was cut within a character: the end comes all the same. */
    if (lwx_close(service, wsi->key, wsi->close_code, wsi->close_reason, wsi->close_reason_size) < 0 &&
        lwx_close(service, wsi->key, wsi->close_code, NULL, 0) < 0)
      lwx_abort(service, wsi->key);
    break;
  case KIND_RAW:
    if (lwx_write(service, wsi->key, NULL, 0, LWX_END) < 0)
      lwx_abort(service, wsi->key);
    else
      lwx_set_timer(service, wsi->key, lwx_now_us() + RAW_LINGER_US);
    break;
  case KIND_HTTP:
    if (!wsi->response_ended)
      lwx_abort(service, wsi->key);
    break;
  default:
    lwx_abort(service, wsi->key);
  }
}

void end_connection(struct lws *wsi) {
  if (wsi->ending)
    return;
  wsi->ending = 1;
  if (wsi->queue)
    lwx_want_write(wsi->vhost->service, wsi->key);
  else
    send_end(wsi);
}

static int enqueue(struct lws *wsi, const void *bytes, size_t size, uint32_t flags) {
  struct queued *item;
  if (wsi->queued_bytes + size > QUEUED_BYTES_MAX || (item = malloc(sizeof *item + size)) == NULL)
    return -1;
  item->next = NULL;
  item->flags = flags;
  item->size = size;
  if (size > 0)
    memcpy(item->bytes, bytes, size);
  *wsi->queue_end = item;
  wsi->queue_end = &item->next;
  wsi->queued_bytes += size;
  lwx_want_write(wsi->vhost->service, wsi->key);
  return 0;
}

int send_or_queue(struct lws *wsi, const void *bytes, size_t size, uint32_t flags) {
  int32_t code = LWX_E_AGAIN;
  if (wsi->queue == NULL)
    code = lwx_write(wsi->vhost->service, wsi->key, bytes, size, flags);
  if (code == LWX_E_AGAIN)
    code = enqueue(wsi, bytes, size, flags);
  return code < 0 ? -1 : 0;
}

/* Writes what waits. Answers whether nothing does any more. */
static int flush_queue(struct lws *wsi) {
  while (wsi->queue) {
    struct queued *first = wsi->queue;
    int32_t code = lwx_write(wsi->vhost->service, wsi->key, first->bytes, first->size, first->flags);
    if (code == LWX_E_AGAIN) {
      lwx_want_write(wsi->vhost->service, wsi->key);
      return 0;
    }
    wsi->queue = first->next;
    wsi->queued_bytes -= first->size;
    if (wsi->queue == NULL)
      wsi->queue_end = &wsi->queue;
    free(first);
    if (code < 0) {
      drop_queue(wsi);
      lwx_abort(wsi->vhost->service, wsi->key);
      return 0;
    }
  }
  return 1;
}

static enum lws_callback_reasons writeable_reason(const struct lws *wsi) {
  switch (wsi->kind) {
  case KIND_HTTP:
    return LWS_CALLBACK_HTTP_WRITEABLE;
  case KIND_WS_CLIENT:
    return LWS_CALLBACK_CLIENT_WRITEABLE;
  case KIND_HTTP_CLIENT:
    return LWS_CALLBACK_CLIENT_HTTP_WRITEABLE;
  case KIND_RAW:
  case KIND_UDP:
    return LWS_CALLBACK_RAW_WRITEABLE;
  case KIND_FILE:
    return LWS_CALLBACK_RAW_WRITEABLE_FILE;
  default:
    return LWS_CALLBACK_SERVER_WRITEABLE;
  }
}

void on_stream_writable(lwx_service *service, lwx_key key, void *user) {
  struct lws *wsi = user;
  (void)service;
  (void)key;
  if (wsi == NULL || !flush_queue(wsi))
    return;
  if (wsi->ending) {
    send_end(wsi);
    return;
  }
  if (wsi->file) {
    serve_file_piece(wsi);
    return;
  }
  if (wsi->wants_writable) {
    wsi->wants_writable = 0;
    call_or_end(wsi, writeable_reason(wsi), NULL, 0);
  }
}

void on_stream_timer(lwx_service *service, lwx_key key, void *user) {
  struct lws *wsi = user;
  if (wsi && wsi->ending)
    lwx_abort(service, key);
  else if (wsi)
    call_or_end(wsi, LWS_CALLBACK_TIMER, NULL, 0);
}

void receive_pieces(struct lws *wsi, enum lws_callback_reasons reason, const uint8_t *bytes, size_t size, uint32_t flags) {
  size_t piece_max = wsi->protocol->rx_buffer_size ? wsi->protocol->rx_buffer_size : PIECE_BYTES;
  unsigned char *piece = malloc(piece_max + LWS_PRE);
  int first = (flags & LWX_FIRST) != 0;
  wsi->binary = (flags & LWX_TEXT) == 0;
  if (piece == NULL) {
    end_connection(wsi);
    return;
  }
  do {
    size_t now = size < piece_max ? size : piece_max;
    /* A copy, as programs write into what they get. */
    if (now > 0)
      memcpy(piece, bytes, now);
    bytes += now;
    size -= now;
    wsi->first = first;
    wsi->final = (flags & LWX_END) != 0;
    wsi->received_size = size;
    first = 0;
    if (call_or_end(wsi, reason, piece, now) != 0)
      break;
  } while (size > 0);
  wsi->received_size = 0;
  free(piece);
}

/* ---- What programs call ---- */

/* The flags of a message, or of a part of one. */
static uint32_t message_flags(struct lws *wsi, int protocol) {
  int kind = protocol & 0x1f;
  if (kind == LWS_WRITE_TEXT)
    wsi->message_kind = LWX_TEXT;
  else if (kind == LWS_WRITE_BINARY)
    wsi->message_kind = 0;
  return wsi->message_kind | (protocol & LWS_WRITE_NO_FIN ? 0 : LWX_END);
}

static int write_http(struct lws *wsi, const unsigned char *buffer, size_t length, int protocol) {
  int kind = protocol & 0x1f;
  uint32_t flags = kind == LWS_WRITE_HTTP_FINAL || protocol & LWS_WRITE_H2_STREAM_END ? LWX_END : 0;
  if (kind == LWS_WRITE_HTTP_HEADERS || kind == LWS_WRITE_HTTP_HEADERS_CONTINUATION)
    return write_head(wsi, buffer, length);
  if (wsi->response_ended)
    return 0;
  wsi->response_ended = flags != 0;
  return send_or_queue(wsi, buffer, length, flags);
}

int lws_write(struct lws *wsi, unsigned char *buffer, size_t length, enum lws_write_protocol protocol) {
  int kind = protocol & 0x1f, sent;
  if (wsi->ending)
    return -1;
  if (wsi->kind == KIND_HTTP)
    sent = write_http(wsi, buffer, length, (int)protocol);
  else if (wsi->kind == KIND_RAW)
    sent = send_or_queue(wsi, buffer, length, 0);
  else if (wsi->kind != KIND_WS && wsi->kind != KIND_WS_CLIENT)
    sent = -1;
  else if (kind == LWS_WRITE_PONG)
    sent = 0; /* The library answers Pings by itself. */
  else if (kind == LWS_WRITE_PING)
    sent = send_or_queue(wsi, buffer, length, LWX_PING);
  else
    sent = send_or_queue(wsi, buffer, length, message_flags(wsi, (int)protocol));
  return sent < 0 ? -1 : (int)length;
}

static void on_descriptor_writable(lwx_service *service, lwx_key timer, void *user) {
  struct lws *wsi = user;
  struct pollfd room = {wsi->fd, POLLOUT, 0};
  (void)timer;
  wsi->writable_timer = 0;
  if (poll(&room, 1, 0) == 0) {
    lwx_timer_set(service, lwx_now_us() + 10000, on_descriptor_writable, wsi, NULL, &wsi->writable_timer);
    return;
  }
  if (wsi->wants_writable) {
    wsi->wants_writable = 0;
    call_or_end(wsi, writeable_reason(wsi), NULL, 0);
  }
}

int lws_callback_on_writable(struct lws *wsi) {
  lwx_service *service = wsi->vhost->service;
  if (wsi->ending)
    return -1;
  wsi->wants_writable = 1;
  if (wsi->kind != KIND_FILE && wsi->kind != KIND_UDP)
    return lwx_want_write(service, wsi->key) < 0 ? -1 : 1;
  if (wsi->writable_timer == 0)
    lwx_timer_set(service, lwx_now_us(), on_descriptor_writable, wsi, NULL, &wsi->writable_timer);
  return 1;
}

int lws_callback_on_writable_all_protocol_vhost(const struct lws_vhost *vhost, const struct lws_protocols *protocol) {
  struct lws *wsi;
  for (wsi = vhost->connections; wsi; wsi = wsi->next)
    if (wsi->protocol == protocol && wsi->kind != KIND_NONE)
      lws_callback_on_writable(wsi);
  return 0;
}

int lws_callback_on_writable_all_protocol(const struct lws_context *context, const struct lws_protocols *protocol) {
  struct lws_vhost *vhost;
  for (vhost = context->vhosts; vhost; vhost = vhost->next) {
    size_t at;
    /* Vhosts may have arrays of their own: what counts is the name and the callback. */
    for (at = 0; at < vhost->protocol_count; at++)
      if (vhost->protocols[at].callback == protocol->callback && strcmp(vhost->protocols[at].name, protocol->name) == 0)
        lws_callback_on_writable_all_protocol_vhost(vhost, &vhost->protocols[at]);
  }
  return 0;
}

int lws_send_pipe_choked(struct lws *wsi) {
  size_t budget = 0;
  return wsi->queue != NULL || lwx_budget(wsi->vhost->service, wsi->key, &budget) < 0 || budget == 0;
}

int lws_rx_flow_control(struct lws *wsi, int enable) {
  int32_t code = (enable & 1) ? lwx_resume(wsi->vhost->service, wsi->key) : lwx_pause(wsi->vhost->service, wsi->key);
  return code < 0 ? -1 : 0;
}

static void on_wsi_timer(lwx_service *service, lwx_key timer, void *user) {
  struct lws *wsi = user;
  (void)service;
  (void)timer;
  wsi->timer = 0;
  call_or_end(wsi, LWS_CALLBACK_TIMER, NULL, 0);
}

void lws_set_timer_usecs(struct lws *wsi, lws_usec_t usecs) {
  lwx_service *service = wsi->vhost->service;
  if (wsi->timer)
    lwx_timer_cancel(service, wsi->timer);
  wsi->timer = 0;
  if (usecs != LWS_SET_TIMER_USEC_CANCEL)
    lwx_timer_set(service, lwx_now_us() + (uint64_t)usecs, on_wsi_timer, wsi, NULL, &wsi->timer);
}

void lws_close_reason(struct lws *wsi, enum lws_close_status status, unsigned char *reason, size_t length) {
  wsi->close_code = status == LWS_CLOSE_STATUS_NOSTATUS ? 1005 : (uint32_t)status;
  wsi->close_reason_size = length < 123 ? length : 123;
  if (wsi->close_reason_size > 0)
    memcpy(wsi->close_reason, reason, wsi->close_reason_size);
}

struct lws_context *lws_get_context(const struct lws *wsi) {
  return wsi->vhost->context;
}

struct lws_vhost *lws_get_vhost(struct lws *wsi) {
  return wsi->vhost;
}

const struct lws_protocols *lws_get_protocol(struct lws *wsi) {
  return wsi->protocol;
}

void *lws_wsi_user(struct lws *wsi) {
  return wsi->user;
}

void lws_set_wsi_user(struct lws *wsi, void *user) {
  if (wsi->owns_user)
    free(wsi->user);
  wsi->owns_user = 0;
  wsi->user = user;
}

void *lws_get_opaque_user_data(const struct lws *wsi) {
  return wsi->opaque;
}

void lws_set_opaque_user_data(struct lws *wsi, void *data) {
  wsi->opaque = data;
}

lws_sockfd_type lws_get_socket_fd(struct lws *wsi) {
  return wsi->fd;
}

const struct lws_udp *lws_get_udp(const struct lws *wsi) {
  return wsi->kind == KIND_UDP ? &wsi->peer : NULL;
}

/* Without the port, as libwebsockets has it. */
const char *lws_get_peer_simple(struct lws *wsi, char *name, size_t size) {
  char *colon;
  if (size == 0 || lwx_get_peer(wsi->vhost->service, wsi->key, name, size) < 0)
    return NULL;
  colon = strrchr(name, ':');
  if (colon)
    *colon = 0;
  if (*name == '[')
    memmove(name, name + 1, strlen(name));
  colon = strchr(name, ']');
  if (colon)
    *colon = 0;
  return name;
}

int lws_is_first_fragment(struct lws *wsi) {
  return wsi->first;
}

int lws_is_final_fragment(struct lws *wsi) {
  return wsi->final && wsi->received_size == 0;
}

int lws_frame_is_binary(struct lws *wsi) {
  return wsi->binary;
}

size_t lws_remaining_packet_payload(struct lws *wsi) {
  return wsi->received_size;
}
