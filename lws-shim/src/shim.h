/* What the parts of the shim share: contexts, vhosts and connections.
 *
 * Each vhost is a service of lwx of its own, so that its mounts and protocols hold for its port alone; the context waits for all of them. Each
 * connection or transaction is a `struct lws`, from its first callback to its last one. */
#ifndef SHIM_H
#define SHIM_H

#include <libwebsockets.h>
#include <lwx.h>

/* Bytes that lws_write() keeps for a peer that does not take them; past it lws_write() fails, where libwebsockets goes on. */
#define QUEUED_BYTES_MAX ((size_t)16 << 20)
/* The largest piece of content or of a message in one callback, unless the protocol says otherwise. */
#define PIECE_BYTES 4096
/* How long a raw peer may take to end its direction after this side has. */
#define RAW_LINGER_US 5000000u

struct vhost_entry {
  struct lws_vhost *vhost;
  uint64_t token;
  int events;
};

struct lws_context {
  void *user;
  struct lws_vhost *vhosts;
  /* The descriptors to wait for, and whose each is. */
  struct pollfd *fds;
  struct vhost_entry *entries;
  size_t fd_count, fd_room;
  /* Calls of lws_service() and its like that run: what is destroyed inside them is freed behind them. */
  int depth, destroyed;
};

struct mounted {
  struct lws_vhost *vhost;
  const struct lws_http_mount *mount;
  struct mounted *next;
};

struct lws_vhost {
  struct lws_context *context;
  struct lws_vhost *next;
  lwx_service *service;
  lwx_poster *poster;
  int started, listens;
  char *name, *roots;
  const struct lws_protocols *protocols;
  size_t protocol_count;
  const struct lws_protocols *raw_protocol;
  void **private_data;
  void *user;
  struct lws *connections;
  struct mounted *mounts;
};

enum kind { KIND_NONE, KIND_HTTP, KIND_WS, KIND_RAW, KIND_FILE, KIND_UDP, KIND_HTTP_CLIENT, KIND_WS_CLIENT };

/* A write that waits for a permit. */
struct queued {
  struct queued *next;
  uint32_t flags;
  size_t size;
  unsigned char bytes[1];
};

/* What is kept of a request head, as a program may ask later. */
struct head {
  char *method, *path, *query, *host, *origin, *protocol, *user_agent, *accept, *cookie, *content_length, *content_type;
};

struct lws {
  struct lws_vhost *vhost;
  const struct lws_protocols *protocol;
  enum kind kind;
  lwx_key key;
  struct lws *next, **at;
  void *user, *opaque;
  int owns_user;
  /* Writing. */
  struct queued *queue, **queue_end;
  size_t queued_bytes;
  int wants_writable, in_message;
  uint32_t message_kind;
  /* The end. */
  int ending, close_sent;
  uint32_t close_code;
  char close_reason[124];
  size_t close_reason_size;
  /* The message or content that a callback is about. */
  int first, final, binary, opened;
  const uint8_t *received;
  size_t received_size;
  /* HTTP. */
  struct head head;
  const struct lws_http_mount *mount;
  int responded, response_ended;
  unsigned int status;
  FILE *file;
  /* Descriptors and datagrams. */
  int fd;
  lwx_key timer, writable_timer;
  struct lws_udp peer;
  /* Of a client, where the program wants to know it. */
  struct lws **known_as;
};

/* connection.c */
struct lws *connection_new(struct lws_vhost *vhost, enum kind kind, lwx_key key, const struct lws_protocols *protocol);
void connection_free(struct lws *wsi);
int call(struct lws *wsi, enum lws_callback_reasons reason, void *in, size_t size);
/* As call(), and ends the connection if the program says so. */
int call_or_end(struct lws *wsi, enum lws_callback_reasons reason, void *in, size_t size);
void end_connection(struct lws *wsi);
int send_or_queue(struct lws *wsi, const void *bytes, size_t size, uint32_t flags);
/* Hands bytes to the program in pieces that its protocol can take. */
void receive_pieces(struct lws *wsi, enum lws_callback_reasons reason, const uint8_t *bytes, size_t size, uint32_t flags);
void on_stream_writable(lwx_service *service, lwx_key key, void *user);
void on_stream_timer(lwx_service *service, lwx_key key, void *user);
const struct lws_protocols *protocol_by_name(struct lws_vhost *vhost, const char *name);
char *copy_text(lwx_str text);

/* server.c */
void describe_handler(lwx_handler *handler, enum kind kind);
void head_capture(struct lws *wsi, lwx_service *service);
void head_free(struct head *head);
void serve_file_piece(struct lws *wsi);
/* Sends a response head that was written as text. */
int write_head(struct lws *wsi, const unsigned char *bytes, size_t size);

/* context.c */
int vhost_start(struct lws_vhost *vhost);

#endif
