/*
 * A part of the interface of libwebsockets 4, for programs that are to run on the library lwx without being rewritten.
 *
 * Programs are compiled against this header: names and meanings are those of libwebsockets, layouts are not. README.md says what is there
 * and where the behaviour differs. It cannot be in one process with libwebsockets itself, whose functions have the same names.
 */
#ifndef LWS_SHIM_LIBWEBSOCKETS_H
#define LWS_SHIM_LIBWEBSOCKETS_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** There is for programs that ask which library they meet. */
#define LWS_SHIM 1
#define LWS_LIBRARY_VERSION "4.1.6-lwx"
#define LWS_LIBRARY_VERSION_MAJOR 4
#define LWS_LIBRARY_VERSION_MINOR 1
#define LWS_LIBRARY_VERSION_PATCH 6
#define LWS_LIBRARY_VERSION_NUMBER (LWS_LIBRARY_VERSION_MAJOR * 1000000 + LWS_LIBRARY_VERSION_MINOR * 1000 + LWS_LIBRARY_VERSION_PATCH)
#define LWS_WITH_TLS 1
#define LWS_WITH_EXTERNAL_POLL 1
#define LWS_WITH_UDP 1

#define LWS_VISIBLE
#define LWS_EXTERN extern
#define LWS_ARRAY_SIZE(x) (sizeof(x) / sizeof((x)[0]))

/** The room that has to be in front of what lws_write() gets. It is not touched here. */
#define LWS_PRE 16
#define LWS_SEND_BUFFER_PRE_PADDING LWS_PRE
#define LWS_SEND_BUFFER_POST_PADDING 0

#define CONTEXT_PORT_NO_LISTEN -1
#define CONTEXT_PORT_NO_LISTEN_SERVER -2

typedef int lws_sockfd_type;
typedef int lws_filefd_type;
typedef int64_t lws_usec_t;
typedef long lws_fileofs_t;
#define LWS_SOCK_INVALID (-1)
#define LWS_USEC_PER_SEC ((lws_usec_t)1000000)
#define LWS_US_PER_SEC LWS_USEC_PER_SEC
#define LWS_US_PER_MS ((lws_usec_t)1000)
#define LWS_SET_TIMER_USEC_CANCEL ((lws_usec_t)-1ll)

struct lws;
struct lws_context;
struct lws_vhost;
struct lws_extension;

/* ---- Logs ---- */

enum lws_log_levels {
  LLL_ERR = 1,
  LLL_WARN = 2,
  LLL_NOTICE = 4,
  LLL_INFO = 8,
  LLL_DEBUG = 16,
  LLL_PARSER = 32,
  LLL_HEADER = 64,
  LLL_EXT = 128,
  LLL_CLIENT = 256,
  LLL_LATENCY = 512,
  LLL_USER = 1024,
  LLL_THREAD = 2048
};
typedef void (*lws_log_emit_t)(int level, const char *line);
void lws_set_log_level(int level, lws_log_emit_t emit);
void lwsl_emit_stderr(int level, const char *line);
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void _lws_log(int level, const char *format, ...);
#define lwsl_err(...) _lws_log(LLL_ERR, __VA_ARGS__)
#define lwsl_warn(...) _lws_log(LLL_WARN, __VA_ARGS__)
#define lwsl_notice(...) _lws_log(LLL_NOTICE, __VA_ARGS__)
#define lwsl_info(...) _lws_log(LLL_INFO, __VA_ARGS__)
#define lwsl_debug(...) _lws_log(LLL_DEBUG, __VA_ARGS__)
#define lwsl_user(...) _lws_log(LLL_USER, __VA_ARGS__)

/* ---- Callbacks ---- */

enum lws_callback_reasons {
  LWS_CALLBACK_ESTABLISHED = 0,
  LWS_CALLBACK_CLIENT_CONNECTION_ERROR = 1,
  LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH = 2,
  LWS_CALLBACK_CLIENT_ESTABLISHED = 3,
  LWS_CALLBACK_CLOSED = 4,
  LWS_CALLBACK_CLOSED_HTTP = 5,
  LWS_CALLBACK_RECEIVE = 6,
  LWS_CALLBACK_RECEIVE_PONG = 7,
  LWS_CALLBACK_CLIENT_RECEIVE = 8,
  LWS_CALLBACK_CLIENT_RECEIVE_PONG = 9,
  LWS_CALLBACK_CLIENT_WRITEABLE = 10,
  LWS_CALLBACK_SERVER_WRITEABLE = 11,
  LWS_CALLBACK_HTTP = 12,
  LWS_CALLBACK_HTTP_BODY = 13,
  LWS_CALLBACK_HTTP_BODY_COMPLETION = 14,
  LWS_CALLBACK_HTTP_FILE_COMPLETION = 15,
  LWS_CALLBACK_HTTP_WRITEABLE = 16,
  LWS_CALLBACK_FILTER_NETWORK_CONNECTION = 17,
  LWS_CALLBACK_FILTER_HTTP_CONNECTION = 18,
  LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED = 19,
  LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION = 20,
  LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER = 24,
  LWS_CALLBACK_PROTOCOL_INIT = 27,
  LWS_CALLBACK_PROTOCOL_DESTROY = 28,
  LWS_CALLBACK_WSI_CREATE = 29,
  LWS_CALLBACK_WSI_DESTROY = 30,
  LWS_CALLBACK_GET_THREAD_ID = 31,
  LWS_CALLBACK_ADD_POLL_FD = 32,
  LWS_CALLBACK_DEL_POLL_FD = 33,
  LWS_CALLBACK_CHANGE_MODE_POLL_FD = 34,
  LWS_CALLBACK_LOCK_POLL = 35,
  LWS_CALLBACK_UNLOCK_POLL = 36,
  LWS_CALLBACK_WS_PEER_INITIATED_CLOSE = 38,
  LWS_CALLBACK_ESTABLISHED_CLIENT_HTTP = 44,
  LWS_CALLBACK_CLOSED_CLIENT_HTTP = 45,
  LWS_CALLBACK_RECEIVE_CLIENT_HTTP = 46,
  LWS_CALLBACK_COMPLETED_CLIENT_HTTP = 47,
  LWS_CALLBACK_RECEIVE_CLIENT_HTTP_READ = 48,
  LWS_CALLBACK_HTTP_BIND_PROTOCOL = 49,
  LWS_CALLBACK_HTTP_DROP_PROTOCOL = 50,
  LWS_CALLBACK_CLIENT_HTTP_WRITEABLE = 57,
  LWS_CALLBACK_RAW_RX = 59,
  LWS_CALLBACK_RAW_CLOSE = 60,
  LWS_CALLBACK_RAW_WRITEABLE = 61,
  LWS_CALLBACK_RAW_ADOPT = 62,
  LWS_CALLBACK_RAW_ADOPT_FILE = 63,
  LWS_CALLBACK_RAW_RX_FILE = 64,
  LWS_CALLBACK_RAW_WRITEABLE_FILE = 65,
  LWS_CALLBACK_RAW_CLOSE_FILE = 66,
  LWS_CALLBACK_EVENT_WAIT_CANCELLED = 71,
  LWS_CALLBACK_TIMER = 73,
  LWS_CALLBACK_CLIENT_CLOSED = 75,
  LWS_CALLBACK_USER = 1000
};

typedef int lws_callback_function(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);

struct lws_protocols {
  const char *name;
  lws_callback_function *callback;
  size_t per_session_data_size;
  size_t rx_buffer_size;
  unsigned int id;
  void *user;
  size_t tx_packet_size;
};

/** What comes with LWS_CALLBACK_ADD_POLL_FD and its like. */
struct lws_pollargs {
  lws_sockfd_type fd;
  int events;
  int prev_events;
};
#define lws_pollfd pollfd
#define LWS_POLLIN (POLLIN)
#define LWS_POLLOUT (POLLOUT)
#define LWS_POLLHUP (POLLHUP | POLLERR)

/** What there is for requests that no protocol of the program is for: 404. */
int lws_callback_http_dummy(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);

/* ---- Context and vhosts ---- */

enum lws_context_options {
  LWS_SERVER_OPTION_DISABLE_IPV6 = 1 << 5,
  LWS_SERVER_OPTION_VALIDATE_UTF8 = 1 << 8,
  LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT = 1 << 12,
  LWS_SERVER_OPTION_EXPLICIT_VHOSTS = 1 << 13,
  LWS_SERVER_OPTION_UNIX_SOCK = 1 << 14,
  LWS_SERVER_OPTION_ONLY_RAW = 1 << 22,
  LWS_SERVER_OPTION_FALLBACK_TO_APPLY_LISTEN_ACCEPT_CONFIG = 1 << 25,
  LWS_SERVER_OPTION_ADOPT_APPLY_LISTEN_ACCEPT_CONFIG = 1 << 27,
  LWS_SERVER_OPTION_HTTP_HEADERS_SECURITY_BEST_PRACTICES_ENFORCE = 1 << 28
};

enum lws_mount_protocols {
  LWSMPRO_HTTP = 0,
  LWSMPRO_HTTPS = 1,
  LWSMPRO_FILE = 2,
  LWSMPRO_CGI = 3,
  LWSMPRO_REDIR_HTTP = 4,
  LWSMPRO_REDIR_HTTPS = 5,
  LWSMPRO_CALLBACK = 6
};

struct lws_protocol_vhost_options {
  const struct lws_protocol_vhost_options *next;
  const struct lws_protocol_vhost_options *options;
  const char *name;
  const char *value;
};

struct lws_http_mount {
  const struct lws_http_mount *mount_next;
  const char *mountpoint;
  const char *origin;
  const char *def;
  const char *protocol;
  const struct lws_protocol_vhost_options *cgienv;
  const struct lws_protocol_vhost_options *extra_mimetypes;
  const struct lws_protocol_vhost_options *interpret;
  int cgi_timeout;
  int cache_max_age;
  unsigned int auth_mask;
  unsigned int cache_reusable : 1;
  unsigned int cache_revalidate : 1;
  unsigned int cache_intermediaries : 1;
  unsigned char origin_protocol;
  unsigned char mountpoint_len;
  const char *basic_auth_login_file;
};

typedef struct lws_retry_bo {
  const uint32_t *retry_ms_table;
  uint16_t retry_ms_table_count;
  uint16_t conceal_count;
  uint16_t secs_since_valid_ping;
  uint16_t secs_since_valid_hangup;
  uint8_t jitter_percent;
} lws_retry_bo_t;

struct lws_context_creation_info {
  int port;
  const char *iface;
  const struct lws_protocols *protocols;
  const struct lws_extension *extensions;
  const struct lws_http_mount *mounts;
  const struct lws_protocol_vhost_options *pvo;
  const char *vhost_name;
  const char *error_document_404;
  const char *server_string;
  const char *listen_accept_role;
  const char *listen_accept_protocol;
  const char *ssl_cert_filepath;
  const char *ssl_private_key_filepath;
  const char *ssl_ca_filepath;
  const char *client_ssl_ca_filepath;
  const lws_retry_bo_t *retry_and_idle_policy;
  void *user;
  void *external_baggage_free_on_destroy;
  uint64_t options;
  unsigned int timeout_secs;
  int keepalive_timeout;
  unsigned int fd_limit_per_thread;
  unsigned int count_threads;
  unsigned int pt_serv_buf_size;
  int gid;
  int uid;
  int ka_time;
  int ka_probes;
  int ka_interval;
};

struct lws_context *lws_create_context(const struct lws_context_creation_info *info);
void lws_context_destroy(struct lws_context *context);
void *lws_context_user(struct lws_context *context);
struct lws_vhost *lws_create_vhost(struct lws_context *context, const struct lws_context_creation_info *info);
struct lws_vhost *lws_get_vhost(struct lws *wsi);
struct lws_vhost *lws_get_vhost_by_name(struct lws_context *context, const char *name);
const char *lws_get_vhost_name(struct lws_vhost *vhost);
int lws_get_vhost_listen_port(struct lws_vhost *vhost);
void *lws_vhost_user(struct lws_vhost *vhost);
void *lws_protocol_vh_priv_zalloc(struct lws_vhost *vhost, const struct lws_protocols *protocol, int size);
void *lws_protocol_vh_priv_get(struct lws_vhost *vhost, const struct lws_protocols *protocol);
const struct lws_protocols *lws_vhost_name_to_protocol(struct lws_vhost *vhost, const char *name);
const char *lws_get_library_version(void);

/* ---- Service ---- */

int lws_service(struct lws_context *context, int timeout_ms);
int lws_service_tsi(struct lws_context *context, int timeout_ms, int tsi);
int lws_service_fd(struct lws_context *context, struct lws_pollfd *pollfd);
int lws_service_fd_tsi(struct lws_context *context, struct lws_pollfd *pollfd, int tsi);
int lws_service_adjust_timeout(struct lws_context *context, int timeout_ms, int tsi);
void lws_cancel_service(struct lws_context *context);
void lws_cancel_service_pt(struct lws *wsi);
lws_usec_t lws_now_usecs(void);

typedef struct lws_dll2 {
  struct lws_dll2 *prev;
  struct lws_dll2 *next;
  void *owner;
} lws_dll2_t;
struct lws_sorted_usec_list;
typedef void (*sul_cb_t)(struct lws_sorted_usec_list *sul);
typedef struct lws_sorted_usec_list {
  struct lws_dll2 list;
  lws_usec_t us;
  sul_cb_t cb;
  uint32_t latency_us;
  /* What the library knows it by; zero while it is not scheduled. */
  uint64_t timer;
} lws_sorted_usec_list_t;
void lws_sul_schedule(struct lws_context *context, int tsi, lws_sorted_usec_list_t *sul, sul_cb_t cb, lws_usec_t us);
#define lws_container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

/* ---- Connections ---- */

enum lws_write_protocol {
  LWS_WRITE_TEXT = 0,
  LWS_WRITE_BINARY = 1,
  LWS_WRITE_CONTINUATION = 2,
  LWS_WRITE_HTTP = 3,
  LWS_WRITE_RAW = LWS_WRITE_HTTP,
  LWS_WRITE_PING = 5,
  LWS_WRITE_PONG = 6,
  LWS_WRITE_HTTP_FINAL = 7,
  LWS_WRITE_HTTP_HEADERS = 8,
  LWS_WRITE_HTTP_HEADERS_CONTINUATION = 9,
  LWS_WRITE_BUFLIST = 0x20,
  LWS_WRITE_NO_FIN = 0x40,
  LWS_WRITE_H2_STREAM_END = 0x80
};

enum lws_close_status {
  LWS_CLOSE_STATUS_NOSTATUS = 0,
  LWS_CLOSE_STATUS_NORMAL = 1000,
  LWS_CLOSE_STATUS_GOINGAWAY = 1001,
  LWS_CLOSE_STATUS_PROTOCOL_ERR = 1002,
  LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE = 1003,
  LWS_CLOSE_STATUS_INVALID_PAYLOAD = 1007,
  LWS_CLOSE_STATUS_POLICY_VIOLATION = 1008,
  LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE = 1009,
  LWS_CLOSE_STATUS_EXTENSION_REQUIRED = 1010,
  LWS_CLOSE_STATUS_UNEXPECTED_CONDITION = 1011
};

int lws_write(struct lws *wsi, unsigned char *buffer, size_t length, enum lws_write_protocol protocol);
int lws_callback_on_writable(struct lws *wsi);
int lws_callback_on_writable_all_protocol(const struct lws_context *context, const struct lws_protocols *protocol);
int lws_callback_on_writable_all_protocol_vhost(const struct lws_vhost *vhost, const struct lws_protocols *protocol);
int lws_send_pipe_choked(struct lws *wsi);
int lws_rx_flow_control(struct lws *wsi, int enable);
void lws_set_timer_usecs(struct lws *wsi, lws_usec_t usecs);
void lws_close_reason(struct lws *wsi, enum lws_close_status status, unsigned char *reason, size_t length);

struct lws_context *lws_get_context(const struct lws *wsi);
const struct lws_protocols *lws_get_protocol(struct lws *wsi);
void *lws_wsi_user(struct lws *wsi);
void lws_set_wsi_user(struct lws *wsi, void *user);
void *lws_get_opaque_user_data(const struct lws *wsi);
void lws_set_opaque_user_data(struct lws *wsi, void *data);
lws_sockfd_type lws_get_socket_fd(struct lws *wsi);
const char *lws_get_peer_simple(struct lws *wsi, char *name, size_t size);
int lws_is_first_fragment(struct lws *wsi);
int lws_is_final_fragment(struct lws *wsi);
int lws_frame_is_binary(struct lws *wsi);
size_t lws_remaining_packet_payload(struct lws *wsi);

/* ---- HTTP ---- */

enum lws_token_indexes {
  WSI_TOKEN_GET_URI = 0,
  WSI_TOKEN_POST_URI = 1,
  WSI_TOKEN_HOST = 3,
  WSI_TOKEN_ORIGIN = 8,
  WSI_TOKEN_PROTOCOL = 14,
  WSI_TOKEN_HTTP_USER_AGENT = 73,
  WSI_TOKEN_HTTP_ACCEPT = 25,
  WSI_TOKEN_HTTP_COOKIE = 37,
  WSI_TOKEN_HTTP_CONTENT_LENGTH = 38,
  WSI_TOKEN_HTTP_CONTENT_TYPE = 39,
  WSI_TOKEN_HTTP_LOCATION = 65,
  WSI_TOKEN_HTTP_SERVER = 68,
  WSI_TOKEN_HTTP_SET_COOKIE = 69,
  WSI_TOKEN_HTTP_CACHE_CONTROL = 33,
  WSI_TOKEN_HTTP_URI_ARGS = 75
};

enum http_status {
  HTTP_STATUS_CONTINUE = 100,
  HTTP_STATUS_OK = 200,
  HTTP_STATUS_NO_CONTENT = 204,
  HTTP_STATUS_MOVED_PERMANENTLY = 301,
  HTTP_STATUS_FOUND = 302,
  HTTP_STATUS_SEE_OTHER = 303,
  HTTP_STATUS_BAD_REQUEST = 400,
  HTTP_STATUS_FORBIDDEN = 403,
  HTTP_STATUS_NOT_FOUND = 404,
  HTTP_STATUS_METHOD_NOT_ALLOWED = 405,
  HTTP_STATUS_INTERNAL_SERVER_ERROR = 500,
  HTTP_STATUS_SERVICE_UNAVAILABLE = 503
};

#define LWS_ILLEGAL_HTTP_CONTENT_LEN ((lws_filepos_t)-1ll)
typedef unsigned long long lws_filepos_t;

int lws_hdr_total_length(struct lws *wsi, enum lws_token_indexes token);
int lws_hdr_copy(struct lws *wsi, char *to, int size, enum lws_token_indexes token);
const char *lws_get_urlarg_by_name(struct lws *wsi, const char *name, char *to, int size);
int lws_add_http_common_headers(struct lws *wsi, unsigned int code, const char *content_type, lws_filepos_t content_length,
                                unsigned char **at, unsigned char *end);
int lws_add_http_header_status(struct lws *wsi, unsigned int code, unsigned char **at, unsigned char *end);
int lws_add_http_header_by_name(struct lws *wsi, const unsigned char *name, const unsigned char *value, int length,
                                unsigned char **at, unsigned char *end);
int lws_add_http_header_by_token(struct lws *wsi, enum lws_token_indexes token, const unsigned char *value, int length,
                                 unsigned char **at, unsigned char *end);
int lws_add_http_header_content_length(struct lws *wsi, lws_filepos_t length, unsigned char **at, unsigned char *end);
int lws_finalize_http_header(struct lws *wsi, unsigned char **at, unsigned char *end);
int lws_finalize_write_http_header(struct lws *wsi, unsigned char *start, unsigned char **at, unsigned char *end);
int lws_return_http_status(struct lws *wsi, unsigned int code, const char *body);
int lws_http_redirect(struct lws *wsi, int code, const unsigned char *location, int length, unsigned char **at,
                      unsigned char *end);
int lws_http_transaction_completed(struct lws *wsi);
int lws_serve_http_file(struct lws *wsi, const char *file, const char *content_type, const char *other_headers, int length);

/* ---- Descriptors, UDP ---- */

typedef union {
  lws_sockfd_type sockfd;
  lws_filefd_type filefd;
} lws_sock_file_fd_type;

typedef enum {
  LWS_ADOPT_RAW_FILE_DESC = 0,
  LWS_ADOPT_HTTP = 1,
  LWS_ADOPT_SOCKET = 2,
  LWS_ADOPT_ALLOW_SSL = 4,
  LWS_ADOPT_FLAG_UDP = 16,
  LWS_ADOPT_RAW_SOCKET_UDP = LWS_ADOPT_SOCKET | LWS_ADOPT_FLAG_UDP
} lws_adoption_type;

struct lws_udp {
  struct sockaddr sa;
  socklen_t salen;
  struct sockaddr sa_pending;
  socklen_t salen_pending;
};

#define LWS_CAUDP_BIND (1 << 0)

struct lws *lws_adopt_descriptor_vhost(struct lws_vhost *vhost, lws_adoption_type type, lws_sock_file_fd_type fd,
                                       const char *protocol, struct lws *parent);
struct lws *lws_create_adopt_udp(struct lws_vhost *vhost, const char *address, int port, int flags, const char *protocol,
                                 const char *iface, struct lws *parent, void *opaque, const lws_retry_bo_t *retry);
const struct lws_udp *lws_get_udp(const struct lws *wsi);

/* ---- Clients ---- */

enum lws_client_connect_ssl_connection_flags {
  LCCSCF_USE_SSL = 1 << 0,
  LCCSCF_ALLOW_SELFSIGNED = 1 << 1,
  LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK = 1 << 2,
  LCCSCF_ALLOW_EXPIRED = 1 << 3,
  LCCSCF_PIPELINE = 1 << 16
};

struct lws_client_connect_info {
  struct lws_context *context;
  const char *address;
  int port;
  int ssl_connection;
  const char *path;
  const char *host;
  const char *origin;
  const char *protocol;
  int ietf_version_or_minus_one;
  void *userdata;
  const void *client_exts;
  const char *method;
  struct lws *parent_wsi;
  struct lws_vhost *vhost;
  struct lws **pwsi;
  const char *iface;
  const char *local_protocol_name;
  const char *alpn;
  void *opaque_user_data;
  const lws_retry_bo_t *retry_and_idle_policy;
};

struct lws *lws_client_connect_via_info(const struct lws_client_connect_info *info);
unsigned int lws_http_client_http_response(struct lws *wsi);
int lws_http_client_read(struct lws *wsi, char **buffer, int *length);

/* ---- Helpers of programs ---- */

const char *lws_cmdline_option(int argc, const char **argv, const char *option);
int lws_snprintf(char *text, size_t size, const char *format, ...);
char *lws_strncpy(char *to, const char *from, size_t size);

#define lws_ll_fwd_insert(item, next, head) \
  {                                         \
    (item)->next = (head);                  \
    (head) = (item);                        \
  }
#define lws_ll_fwd_remove(type, next, item, head)                  \
  {                                                                \
    type **_at = &(head);                                          \
    while (*_at != NULL) {                                         \
      if (*_at == (item)) {                                        \
        *_at = (item)->next;                                       \
        break;                                                     \
      }                                                            \
      _at = &(*_at)->next;                                         \
    }                                                              \
  }
#define lws_start_foreach_llp(type, it, start) \
  {                                            \
    type it = &(start);                        \
    while (*(it)) {
#define lws_end_foreach_llp(it, next) \
  it = &(*(it))->next;                \
  }                                   \
  }
#define lws_start_foreach_ll(type, it, start) \
  {                                           \
    type it = start;                          \
    while (it) {
#define lws_end_foreach_ll(it, next) \
  it = (it)->next;                   \
  }                                  \
  }

#ifdef __cplusplus
}
#endif

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#endif
