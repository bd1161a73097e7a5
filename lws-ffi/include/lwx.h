/*
 * lwx.h: HTTP and WebSocket servers, raw streams and UDP for C, on any loop.
 *
 *   lwx_service *s;
 *   lwx_handler echo;
 *   LWX_INIT(&echo);
 *   echo.data = on_message;               calls lwx_write(s, key, bytes, size, flags)
 *   lwx_service_new(NULL, &s);            each of these answers less than 0 if it fails: lwx_strerror(), lwx_last_error()
 *   lwx_listen(s, "127.0.0.1:7681", NULL, NULL);
 *   lwx_route(s, LWX_ROUTE_WEBSOCKET, "/echo", &echo);
 *   lwx_service_start(s);
 *   lwx_service_run(s);
 *   lwx_service_free(s);
 *
 * A service is described (listeners, routes, files), started, and then hosted in one of four ways:
 *
 *   one descriptor    watch lwx_service_fd() for reading, sleep until lwx_service_deadline() at most, call lwx_service_dispatch()
 *   each descriptor   lwx_service_set_host(): the program is told what to watch, and calls lwx_service_ready() or lwx_service_pollfd()
 *   libuv             lwx_service_attach_uv()
 *   its own loop      lwx_service_run()
 *
 * Threads. A service belongs to the thread that made it: every call on another one answers LWX_E_THREAD and does nothing. The exceptions
 * are the calls of an lwx_poster, which any thread may make, and lwx_service_enter_thread(), after lwx_service_leave_thread().
 *
 * Callbacks. They are called inside lwx_service_dispatch(), _ready(), _pollfd(), _run(), libuv's loop, or a call that gives the
 * service something to do between those. A callback may call everything, but that what drives the service
 * (_dispatch, _ready, _pollfd, _run, _set_host, _attach_uv, _detach_uv) and what asks how long to sleep (_fd, _deadline) answers
 * LWX_E_RECURSIVE. It may free the service: every other call then answers LWX_E_GONE, and the one that drives it 0, as the last one. What
 * a callback is lent (a request, bytes, the permit to write) is valid until it returns. A callback that runs the program's loop, as a dialog
 * does, leaves the service's descriptors out of it: they stay ready until the callback has returned.
 *
 * Writing. A stream is written to in its own callbacks, while it has a permit: lwx_budget() is not zero then. Elsewhere, and without a
 * permit, lwx_write() takes nothing and answers LWX_E_AGAIN: lwx_want_write() asks for a permit, which comes with `writable`.
 *
 * Pointers of the program. Where a function takes `user` and `drop`, `drop` is called once with `user` when the library needs it no more,
 * also if the call fails, but not if the struct that they stand in cannot be read (NULL, LWX_E_SIZE). A `drop` may be NULL. It may call
 * the service.
 *
 * fork(2). From its start on a service belongs to its process. In a child it can be freed, which closes the child's copies of descriptors
 * and nothing else, or left: every other call, on it and on its posters, answers LWX_E_FORKED. Of a loop of libuv the child lets go of
 * nothing.
 *
 * Time is microseconds of CLOCK_MONOTONIC: lwx_now_us().
 */
#ifndef LWX_H
#define LWX_H

#include "lwx_base.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pollfd;
struct uv_loop_s;

/** A service: listeners, connections, timers. */
typedef struct lwx_service lwx_service;

/** What any thread may hold of a service. */
typedef struct lwx_poster lwx_poster;

/* ---- Description ------------------------------------------------------------------------------------------------------------- */

/** Serve every Host, at listeners too that only this machine reaches. Without it those answer for localhost and loopback addresses only,
 * as a web page can have its own name mean a loopback address. */
#define LWX_SERVICE_ANY_HOST 1u
/** Pages of other origins may neither open WebSockets nor use methods that are not safe: 403. */
#define LWX_SERVICE_SAME_ORIGIN 2u
/** WebSocket messages are compressed where the peer offers it. */
#define LWX_SERVICE_DEFLATE 4u
/** Responses have the strict rules of a server that embeds nothing of other sites and may not be embedded. */
#define LWX_SERVICE_STRICT_PAGES 8u

/** Defects of the library: a panic that was stopped. */
#define LWX_LOG_ERROR 1
/** Peers that were sent away, and handshakes of TLS that failed. */
#define LWX_LOG_NOTICE 2
/** A line for each request, in the combined format, with how long it took in milliseconds and how it ended. */
#define LWX_LOG_ACCESS 3

/** Options of a service. Zero is the library's own value. */
typedef struct lwx_service_options {
  size_t size;
  /** LWX_SERVICE_... */
  uint32_t flags;
  uint32_t reserved;
  /** The most connections at a time. */
  uint64_t connections_max;
  /** The most bytes that are held for all peers together. */
  uint64_t held_bytes_max;
  /** The most bytes of a request head. Past it: 431. */
  uint64_t head_bytes_max;
  /** The most bytes of a request's content. Past it: 413. */
  uint64_t content_bytes_max;
  /** The most bytes of a message that comes whole. Past it: close code 1009. */
  uint64_t message_bytes_max;
  /** The most bytes that wait for one peer before there are no more permits. */
  uint64_t send_queue_bytes_max;
  /** How long a head may take. */
  uint64_t head_timeout_us;
  /** How long a connection may be without a request. */
  uint64_t keep_alive_timeout_us;
  /** How long the peer of a WebSocket may be silent before it is sent a Ping. */
  uint64_t ping_interval_us;
  /** How long what is going on may take to end after lwx_service_drain(). */
  uint64_t drain_timeout_us;
  /** Is called with each line for a log, without an end of line, on the thread of the service. It may not call the service. NULL: nothing is
   * written anywhere. */
  void (*log)(void *user, int32_t level, lwx_str line);
  void *log_user;
  void (*log_drop)(void *user);
  /** LWX_LOG_...: that and everything below. Zero is LWX_LOG_NOTICE. */
  int32_t log_level;
  uint32_t reserved_end;
} lwx_service_options;

/** Makes a service with nothing in it, and writes it to `service`; NULL if it fails. `options` may be NULL. LWX_E_SIZE; LWX_E_ARGUMENT,
 * of which lwx_last_error() says what is out of range. */
int32_t lwx_service_new(const lwx_service_options *options, lwx_service **service);

/** Frees a service: connections are cut off, streams get no `closed`, and every `drop` is called. In a callback it takes effect when that
 * has returned. On another thread it does nothing, and the service stays for ever. NULL is fine. */
void lwx_service_free(lwx_service *service);

/** Lets go of the thread: from here on the service belongs to none, until one enters it. For programs whose work moves from thread to thread,
 * as the processes of Erlang and the goroutines of Go do: what its callbacks use must be fit to be used on any thread, by one at a time.
 * LWX_E_RECURSIVE in a callback; LWX_E_STATE on a loop of libuv, which is of one thread. */
int32_t lwx_service_leave_thread(lwx_service *service);

/** Makes a service that belongs to no thread one of this thread. LWX_E_THREAD if it belongs to one: then nothing has changed, and the program
 * tries again when that one has left it. */
int32_t lwx_service_enter_thread(lwx_service *service);

/** Why a stream is over. */
typedef struct lwx_closed {
  size_t size;
  /** LWX_CAUSE_... */
  int32_t cause;
  /** Of a WebSocket: the close code, 1005 if the frame had none, 1006 if there was no frame; the status with which a server has refused the
   * opening handshake. */
  uint32_t code;
  /** A short stable name of the cause: "complete", "closed_by_peer", "stalled_timeout". */
  lwx_str name;
  /** For a person, of what lwx_fetch() and lwx_connect_websocket() have begun; often empty. */
  lwx_str detail;
} lwx_closed;

/** What a control frame was. */
enum { LWX_CONTROL_PING = 8, LWX_CONTROL_PONG = 9, LWX_CONTROL_CLOSE = 10 };

/** Messages come in parts, as they arrive, and may be of any size. */
#define LWX_HANDLER_STREAMED 1u

/** What another server has answered. All of it is lent until the callback returns. */
typedef struct lwx_response {
  size_t size;
  uint32_t status;
  /** Of HTTP: 10, 11, 20. */
  uint32_t version;
  const lwx_field *fields;
  size_t field_count;
  /** What was asked for last, if redirects were followed. */
  lwx_str url;
} lwx_response;

/** What is called about the streams of a route, or about a request or WebSocket to another server. Each callback may be NULL. `user` is what
 * lwx_set_user() has set for the stream, or else that of the handler. */
typedef struct lwx_handler {
  size_t size;
  /** LWX_HANDLER_... */
  uint32_t flags;
  uint32_t reserved;
  /** Subprotocols that are spoken, with commas between them: the first one that the client offers is chosen. */
  const char *protocols;
  void *user;
  void (*drop)(void *user);
  /** An opening handshake: 0 accepts it, a status such as 403 refuses. lwx_get_request() and lwx_get_field() read it. */
  int32_t (*accept)(lwx_service *service, lwx_key key, void *user);
  /** A request up to its content, of which there is none with LWX_END. NULL answers 404. */
  void (*request)(lwx_service *service, lwx_key key, uint32_t flags, void *user);
  /** A WebSocket or raw stream is there. */
  void (*open)(lwx_service *service, lwx_key key, void *user);
  /** Content of a request (LWX_END), a message or a part of one (LWX_TEXT, LWX_FIRST, LWX_END), or bytes of a raw stream (LWX_END when
   * the peer has ended its direction). */
  void (*data)(lwx_service *service, lwx_key key, const uint8_t *bytes, size_t size, uint32_t flags, void *user);
  /** The permit that lwx_want_write() asked for. */
  void (*writable)(lwx_service *service, lwx_key key, void *user);
  /** The moment of lwx_set_timer(). */
  void (*timer)(lwx_service *service, lwx_key key, void *user);
  /** lwx_wake() was called. */
  void (*wake)(lwx_service *service, lwx_key key, void *user);
  /** A control frame of a WebSocket: LWX_CONTROL_..., and its payload or reason. It is answered already. */
  void (*control)(lwx_service *service, lwx_key key, int32_t kind, lwx_str payload, void *user);
  /** The stream is over. Once, and nothing after it: the key finds nothing any more when it returns. */
  void (*closed)(lwx_service *service, lwx_key key, const lwx_closed *closed, void *user);
  /** Of lwx_fetch() and lwx_connect_websocket(): the server has answered. Content follows with `data`, the last of it with LWX_END. */
  void (*response)(lwx_service *service, lwx_key key, const lwx_response *response, void *user);
  /** Of lwx_connect_websocket() with LWX_CONNECT_RECONNECT: it is lost, or could not be opened, and is tried again.
   * A message that was begun is gone: its rest is not to be sent. */
  void (*lost)(lwx_service *service, lwx_key key, const lwx_closed *why, void *user);
} lwx_handler;

/** Options of a listener. */
typedef struct lwx_listen_options {
  size_t size;
  /** TLS with the certificate chain of a PEM file, and the key of another. Both or neither. */
  const char *tls_certificate;
  const char *tls_key;
  /** Each connection is a raw stream of this handler, from its first byte. */
  const lwx_handler *raw;
} lwx_listen_options;

/** Listens at "127.0.0.1:7681", "[::1]:0" (a port of 0 lets the system choose), "localhost:0", "unix:/run/a.sock", "unix:@abstract". It is
 * bound by lwx_service_start(). `options` may be NULL. Writes the number of the listener, from 0 on, if `listener` is not NULL.
 * LWX_E_STATE after the start, as for all of this part; LWX_E_SYSTEM if a certificate cannot be read. */
int32_t lwx_listen(lwx_service *service, const char *address, const lwx_listen_options *options, size_t *listener);

enum {
  /** Requests with any method. */
  LWX_ROUTE_HTTP = 0,
  /** Opening handshakes of WebSockets. */
  LWX_ROUTE_WEBSOCKET = 1
};

/** Serves a path and everything below it; "/items/{id}" has a parameter, and "/files/{*rest}" one for all that follows. The handler is
 * copied. */
int32_t lwx_route(lwx_service *service, int32_t kind, const char *path, const lwx_handler *handler);

/** Connections of the HTTP listeners whose first bytes are no HTTP are raw streams of this handler. */
int32_t lwx_raw_fallback(lwx_service *service, const lwx_handler *handler);

/** Names that begin with a dot are served. */
#define LWX_FILES_DOT_FILES 1u

/** Options of files. */
typedef struct lwx_files_options {
  size_t size;
  /** The file that stands for its directory; NULL is "index.html". */
  const char *index;
  /** A value of Cache-Control, or NULL. */
  const char *cache_control;
  /** LWX_FILES_... */
  uint32_t flags;
  uint32_t reserved;
} lwx_files_options;

/** Serves the files of a directory below a path, with conditional requests and ranges. `options` may be NULL. LWX_E_SYSTEM if there is no
 * such directory. */
int32_t lwx_files(lwx_service *service, const char *path, const char *directory, const lwx_files_options *options);

/** Names a handler, for the sites of a configuration: a protocol of a host gets its WebSockets, and a mount with "callback://name" its
 * requests. */
int32_t lwx_protocol(lwx_service *service, const char *name, const lwx_handler *handler);

/** Serves the virtual hosts of a configuration in JSON, as the server of libwebsockets and the program lwsws read it: ports, certificates, files,
 * redirects, protocols. LWX_E_ARGUMENT for a mistake, LWX_E_UNSUPPORTED for what is not served here (programs, other servers, passwords),
 * LWX_E_SYSTEM for a folder or certificate that cannot be read: lwx_last_error() says where. A protocol without a handler is an error of
 * lwx_service_start(). */
int32_t lwx_sites(lwx_service *service, const char *json);

/** The same of a folder with a file `conf` and perhaps files in `conf.d`. */
int32_t lwx_sites_directory(lwx_service *service, const char *directory);

/** Binds the listeners. LWX_E_SYSTEM, of which lwx_last_error() says what is wrong with which; the service can only be freed then. */
int32_t lwx_service_start(lwx_service *service);

/** Writes where a listener is, terminated. LWX_E_LENGTH if it does not fit. */
int32_t lwx_service_address(lwx_service *service, size_t listener, char *address, size_t size);

/** Reads the certificate and key of a listener again: handshakes from now on use them. LWX_E_SYSTEM changes nothing. */
int32_t lwx_tls_reload(lwx_service *service, size_t listener);

/* ---- Loops ------------------------------------------------------------------------------------------------------------------- */

/** The descriptor to watch for reading. It is the same until the service has another host. LWX_E_STATE before the start, and while the
 * program or libuv watches each descriptor. */
int32_t lwx_service_fd(lwx_service *service);

/** Writes until when the program may sleep if the descriptor does not become readable before: 0 is not at all, UINT64_MAX for ever. */
int32_t lwx_service_deadline(lwx_service *service, uint64_t *at_us);

/** The same as a timeout for poll(2) and epoll_wait(2): milliseconds from now, rounded up; -1 is for ever. 0 in place of an error, which
 * the next dispatch answers. */
int32_t lwx_service_timeout_ms(lwx_service *service);

/** Does what can be done now, and never sleeps: 1 while the service is alive, 0 when it has ended. Call it before the first sleep. */
int32_t lwx_service_dispatch(lwx_service *service);

/** The same for at most about `time_us` microseconds, for what is left of a frame in a program that draws: the deadline is 0 and the descriptor
 * stays readable if there is more. lwx_service_dispatch() takes 1 ms at most. */
int32_t lwx_service_dispatch_within(lwx_service *service, uint64_t time_us);

/** Dispatches and sleeps until the service has ended, for a program that has no loop. */
int32_t lwx_service_run(lwx_service *service);

/** There is something to read, or the end of the peer. */
#define LWX_READ 1u
/** There is room to write. */
#define LWX_WRITE 2u
/** The peer has gone. As interest: that and errors alone are to be reported. */
#define LWX_HANG_UP 4u
/** There is an error to fetch. */
#define LWX_ERROR 8u

/** A program that watches each descriptor. No events at all means that a descriptor is left out until it is modified. These callbacks may
 * not call the service. */
typedef struct lwx_host {
  size_t size;
  /** Watch a descriptor. Negative if that cannot be: what needs it ends. Until its removal nothing else has the token. */
  int32_t (*add)(void *user, int32_t fd, uint64_t token, uint32_t events);
  /** Watch it for something else. */
  int32_t (*modify)(void *user, int32_t fd, uint64_t token, uint32_t events);
  /** Let go of it: it is closed when this returns. */
  void (*remove)(void *user, int32_t fd, uint64_t token);
  void *user;
} lwx_host;

/** Has the program watch each descriptor; NULL goes back to the one descriptor. What is watched is added by the next lwx_service_dispatch().
 * In each turn: lwx_service_dispatch(), the wait, lwx_service_ready() for each descriptor that is ready. */
int32_t lwx_service_set_host(lwx_service *service, const lwx_host *host);

/** A descriptor is ready. A token of something that has gone is ignored, and to say too much does no harm. */
int32_t lwx_service_ready(lwx_service *service, uint64_t token, uint32_t events);

/** The same for an entry of an array of poll(2): answers 1 and clears `revents` if it is one of the service's, and 0 otherwise. */
int32_t lwx_service_pollfd(lwx_service *service, struct pollfd *entry);

/** Lets a loop of libuv serve it. uv_run() goes on while the service has something to wait for: a listener, a connection, a timer, but not
 * for posters alone. The loop belongs to this thread, is not run inside a callback, and is closed after the service was detached
 * or freed and the loop has run once more. LWX_E_UNSUPPORTED, LWX_E_SYSTEM. */
int32_t lwx_service_attach_uv(lwx_service *service, struct uv_loop_s *loop);

/** As lwx_service_attach_uv(), for a loop that another libuv has made than the one that this library is linked with: Node, Neovim and Python's
 * uvloop bring their own, and two of them abort over each other's handles. `find` answers with the address of libuv's function of a name, or
 * NULL: dlsym() with `user` as its handle will do. NULL for `find` are the functions of the linked one. `version` is what uv_version() answers
 * where the loop was made, or 0 if that is not known. The functions stay as long as the service. LWX_E_SYSTEM if a function is missing, or
 * they are of another version than the loop: lwx_last_error() says so. */
int32_t lwx_service_attach_uv_of(lwx_service *service, struct uv_loop_s *loop, uint32_t version,
                                 void *(*find)(void *user, const char *name), void *user);

/** Takes it from the loop. `done`, which may be NULL, is called when libuv has let go of every handle, in a turn of the loop: the service
 * then has its one descriptor again. */
int32_t lwx_service_detach_uv(lwx_service *service, void (*done)(lwx_service *service, void *user), void *user);

/** Ends the service in an orderly way: listeners close, WebSockets get close code 1001, exchanges that run are the last ones. */
int32_t lwx_service_drain(lwx_service *service);

/** Ends the service at once: connections are cut off, with the next dispatch. */
int32_t lwx_service_stop(lwx_service *service);

/** Microseconds of CLOCK_MONOTONIC. */
uint64_t lwx_now_us(void);

/** Counters. */
typedef struct lwx_service_stats {
  size_t size;
  /** Open now. */
  uint64_t connections;
  uint64_t websockets;
  /** So far. */
  uint64_t requests;
  uint64_t messages;
} lwx_service_stats;

/** Writes the counters. Set `size` before. */
int32_t lwx_service_get_stats(lwx_service *service, lwx_service_stats *stats);

/* ---- Streams ----------------------------------------------------------------------------------------------------------------- */

/** A request. All of it is lent until the callback returns. */
typedef struct lwx_request {
  size_t size;
  lwx_str method;
  /** As the peer wrote it, with the query. For logs. */
  lwx_str target;
  /** Decoded and normalised: what to decide by. */
  lwx_str path;
  /** Without "?", as the peer wrote it; empty if there is none. */
  lwx_str query;
  /** Of HTTP: 10, 11, 20. */
  uint32_t version;
  uint32_t has_content;
} lwx_request;

/** Writes the request, in `accept` and `request` only: LWX_E_STATE elsewhere. Set `size` before. */
int32_t lwx_get_request(lwx_service *service, lwx_key key, lwx_request *request);

/** Writes the nth value, from 0 on, of the request's field lines of a name, in whatever case; 1 if there is one, 0 if not. Where
 * lwx_get_request() works. */
int32_t lwx_get_field(lwx_service *service, lwx_key key, const char *name, size_t nth, lwx_str *value);

/** Writes a parameter of the path, decoded; 1 if there is one, 0 if not. Where lwx_get_request() works. */
int32_t lwx_get_parameter(lwx_service *service, lwx_key key, const char *name, lwx_str *value);

/** Writes who is at the other end, terminated, in a callback of the stream: "192.0.2.1:4711". 64 bytes are enough: LWX_E_LENGTH if it does
 * not fit. LWX_E_STATE elsewhere. */
int32_t lwx_get_peer(lwx_service *service, lwx_key key, char *peer, size_t size);

/** Sends the head of the response, and content with it: all of it with LWX_END; otherwise lwx_write() sends the rest. A status of 1xx is an
 * interim response. LWX_E_AGAIN, LWX_E_FIELD, LWX_E_LENGTH, LWX_E_STATE, LWX_E_PROTOCOL, LWX_E_STALE. */
int32_t lwx_respond(lwx_service *service, lwx_key key, uint32_t status, const lwx_field *fields, size_t field_count,
                    const void *content, size_t size, uint32_t flags);

/** Sends content, a message or bytes, by what the stream speaks. LWX_END ends content, message or direction; LWX_TEXT and LWX_PING (up to 125
 * bytes) are of WebSockets. LWX_E_AGAIN takes nothing. LWX_E_FIELD for a text that is not UTF-8. */
int32_t lwx_write(lwx_service *service, lwx_key key, const void *bytes, size_t size, uint32_t flags);

/** Writes how many bytes a write may have now; 0 is no permit, or not a callback of this stream. */
int32_t lwx_budget(lwx_service *service, lwx_key key, size_t *budget);

/** Asks for one `writable`, when there is a permit. Asking twice is asking once. From anywhere. */
int32_t lwx_want_write(lwx_service *service, lwx_key key);

/** Takes no input for the stream until lwx_resume(). From anywhere, as all that follows in this part: outside of the stream's own callbacks
 * it takes effect before the service sleeps. */
int32_t lwx_pause(lwx_service *service, lwx_key key);

/** Takes input again. */
int32_t lwx_resume(lwx_service *service, lwx_key key);

/** Has `timer` called at a moment, in place of the one asked for before; UINT64_MAX takes it back. It ends with the stream. */
int32_t lwx_set_timer(lwx_service *service, lwx_key key, uint64_t at_us);

/** Has `wake` called, before the service sleeps. Several calls until then are one. */
int32_t lwx_wake(lwx_service *service, lwx_key key);

/** Begins the closing handshake of a WebSocket. A code of 0 is 1000, and 1005 sends none; the reason is UTF-8 of 123 bytes at most. */
int32_t lwx_close(lwx_service *service, lwx_key key, uint32_t code, const char *reason, size_t size);

/** Ends a stream at once, or what lwx_adopt(), lwx_watch() or lwx_udp_bind() have opened. */
int32_t lwx_abort(lwx_service *service, lwx_key key);

/** Gives a stream a pointer of its own, with which its callbacks are called from the next one on. What was there is dropped. */
int32_t lwx_set_user(lwx_service *service, lwx_key key, void *user, void (*drop)(void *user));

/** Writes the pointer of lwx_set_user(), or NULL. */
int32_t lwx_get_user(lwx_service *service, lwx_key key, void **user);

/* ---- Topics ------------------------------------------------------------------------------------------------------------------ */

/** Subscribes a WebSocket, in a callback of its own: from now on it gets what is published to the topic. "/" divides a name into segments;
 * "+" stands for one, and "#" at the end for all that follow. LWX_E_LIMIT, LWX_E_ARGUMENT. */
int32_t lwx_subscribe(lwx_service *service, lwx_key key, const char *topic);

/** Ends a subscription: 1 if there was one. */
int32_t lwx_unsubscribe(lwx_service *service, lwx_key key, const char *topic);

/** Sends a message to all subscribers of a topic, made once for all. Those that are slow get it when they can; what waits for them is
 * bounded. Flags: LWX_TEXT. */
int32_t lwx_publish(lwx_service *service, const char *topic, const void *bytes, size_t size, uint32_t flags);

/* ---- Clients ----------------------------------------------------------------------------------------------------------------- */

/** Redirects are followed, up to ten. */
#define LWX_CONNECT_FOLLOW 1u
/** HTTP/2 without being asked: without TLS by prior knowledge, for a WebSocket by RFC 8441. Otherwise TLS agrees on it where a server can. */
#define LWX_CONNECT_HTTP2 2u
/** Of a WebSocket: compression of messages is offered. */
#define LWX_CONNECT_DEFLATE 4u
/** Of a WebSocket: when it is lost it comes back, after delays that grow from a second to a minute. */
#define LWX_CONNECT_RECONNECT 8u

/** Options of lwx_fetch() and lwx_connect_websocket(). What they point to is copied. */
typedef struct lwx_connect_options {
  size_t size;
  /** LWX_CONNECT_... */
  uint32_t flags;
  uint32_t reserved;
  /** Of a request; NULL is "GET". */
  const char *method;
  /** Of a WebSocket: subprotocols to offer, with commas between them. */
  const char *protocols;
  const lwx_field *fields;
  size_t field_count;
  /** Of a request; NULL is none. */
  const void *content;
  size_t content_size;
  /** For https and wss: a PEM file of the certificates that are trusted; NULL is those of the system. It is read once. */
  const char *tls_roots;
  /** Where the connection goes to in place of the host of the URL: "127.0.0.1:8080", "unix:/run/a.sock". */
  const char *connect_to;
  /** From the beginning to the end. Without it a response has to begin within 60 s, and a silence in it may last as long. */
  uint64_t timeout_us;
} lwx_connect_options;

/** Asks another server for something: "http://..." or "https://...". The handler's `response` is called, `data` for the content, and `closed`
 * at the end in any case, none of them inside this call. Connections are kept and shared. lwx_pause(), lwx_resume() and lwx_abort() take the key.
 * `options` and `key` may be NULL. After the start; LWX_E_ARGUMENT for what is no such URL, LWX_E_SYSTEM for roots that cannot be read. */
int32_t lwx_fetch(lwx_service *service, const char *url, const lwx_connect_options *options, const lwx_handler *handler, lwx_key *key);

/** Opens a WebSocket: "ws://..." or "wss://...". As lwx_fetch(), and the handler's `open` follows on `response`. lwx_write() may be called from
 * anywhere on the thread: up to 1024 messages and 1 MiB wait for the server, past which it answers LWX_E_AGAIN, as it does while the WebSocket
 * is not open; lwx_budget() says what there is room for, and lwx_want_write() has `writable` called when nothing waits any more.
 * LWX_PING is LWX_E_UNSUPPORTED. lwx_close() ends it for good. */
int32_t lwx_connect_websocket(lwx_service *service, const char *url, const lwx_connect_options *options, const lwx_handler *handler,
                              lwx_key *key);

/* ---- Timers, descriptors, datagrams ------------------------------------------------------------------------------------------ */

/** Has `fired` called once, at a moment. Writes its key if `timer` is not NULL. */
int32_t lwx_timer_set(lwx_service *service, uint64_t at_us, void (*fired)(lwx_service *service, lwx_key timer, void *user),
                      void *user, void (*drop)(void *user), lwx_key *timer);

/** Takes a timer back. LWX_E_STALE if it has been called. */
int32_t lwx_timer_cancel(lwx_service *service, lwx_key timer);

/** Takes over a descriptor that carries a stream (a connected socket, a FIFO, a terminal) as a raw stream. It belongs to the library from
 * here on, whatever the call answers, and is closed at the end. `key` may be NULL: callbacks bring it. */
int32_t lwx_adopt(lwx_service *service, int32_t fd, const lwx_handler *handler, lwx_key *key);

/** Watches a descriptor that the program reads by itself: `ready` is called with LWX_READ as long as there is something to read, LWX_HANG_UP
 * when the other side has gone, LWX_ERROR when it cannot be watched. It is made non-blocking, belongs to the library from here on, and
 * is closed after lwx_abort(). `key` may be NULL: `ready` brings it. */
int32_t lwx_watch(lwx_service *service, int32_t fd, void (*ready)(lwx_service *service, lwx_key key, uint32_t events, void *user),
                  void *user, void (*drop)(void *user), lwx_key *key);

/** What is called about a UDP socket. */
typedef struct lwx_udp_handler {
  size_t size;
  void *user;
  void (*drop)(void *user);
  /** A datagram has come: `from` is "192.0.2.1:4711". */
  void (*datagram)(lwx_service *service, lwx_key key, lwx_str from, const uint8_t *bytes, size_t size, void *user);
  /** There is room to send, as lwx_want_write() asked. */
  void (*writable)(lwx_service *service, lwx_key key, void *user);
} lwx_udp_handler;

/** Opens a UDP socket at "127.0.0.1:0". Writes its key if `key` is not NULL, and where it is if `bound` is not NULL (64 bytes are enough).
 * LWX_E_LENGTH if that may not fit: then there is no socket. */
int32_t lwx_udp_bind(lwx_service *service, const char *address, const lwx_udp_handler *handler, lwx_key *key, char *bound,
                     size_t bound_size);

/** Sends a datagram, in a callback of the socket, to an address such as "192.0.2.1:4711". `to` NULL is back to the sender of the datagram
 * that the callback is about. LWX_E_AGAIN if too much waits: lwx_want_write() has `writable` called. */
int32_t lwx_udp_send(lwx_service *service, lwx_key key, const char *to, const void *bytes, size_t size);

/* ---- Other threads ----------------------------------------------------------------------------------------------------------- */

/** Makes what other threads may hold, on the thread of the service and after its start. It may outlive the service. */
int32_t lwx_poster_new(lwx_service *service, lwx_poster **poster);

/** Frees it. Any thread, as all that follows. NULL is fine. */
void lwx_poster_free(lwx_poster *poster);

/** Has `call` called on the thread of the service, soon; `user` is dropped when it has returned. LWX_E_GONE if the service has ended,
 * LWX_E_LIMIT if 65536 calls wait there already: it may be posted again later. `drop` may be called on either thread, and is if the call was
 * not taken. */
int32_t lwx_poster_post(lwx_poster *poster, void (*call)(lwx_service *service, void *user), void *user, void (*drop)(void *user));

/** lwx_publish() from any thread. */
int32_t lwx_poster_publish(lwx_poster *poster, const char *topic, const void *bytes, size_t size, uint32_t flags);

/** lwx_service_stop() from any thread. */
int32_t lwx_poster_stop(lwx_poster *poster);

#ifdef __cplusplus
}
#endif

#endif
