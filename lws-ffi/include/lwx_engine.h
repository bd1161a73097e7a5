/*
 * lwx_engine.h: the engine alone. HTTP/1.1, HTTP/2, WebSocket over both and raw streams, as server and client, without any I/O: bytes
 * and time go in, events and bytes to send come out. For transports of your own, for fuzzers, for other languages.
 *
 * One connection is one lwx_conn. Its driver, in any order that suits:
 *
 *   lwx_conn_receive()         when bytes of the peer are there, and then lwx_conn_next_event() until it answers 0
 *   lwx_conn_transmit()        when the transport can take bytes, and lwx_conn_transmitted() with what it took
 *   lwx_conn_handle_timeout()  when the deadline of lwx_conn_get_interest() has come
 *   lwx_conn_get_interest()    before it sleeps
 *
 * How the input is cut, and how little the transport takes at a time, changes neither events (adjacent content joined) nor bytes.
 *
 * Time is microseconds since a moment that the program chooses; it never goes back. A connection belongs to one thread at a time, and may
 * move. No function calls back, but for fill_random, in which every call on the same connection answers LWX_E_RECURSIVE.
 *
 * Writing. A stream may be written to while it has a permit: lwx_conn_budget() is not zero then, and LWX_EVENT_WRITABLE comes when there
 * is one again after lwx_conn_want_write(). A write without a permit takes nothing and answers LWX_E_AGAIN. A permit is for one write,
 * however long; it is there again when what is queued has fallen below send_queue_bytes_max.
 */
#ifndef LWX_ENGINE_H
#define LWX_ENGINE_H

#include "lwx_base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A connection. */
typedef struct lwx_conn lwx_conn;

/** Which side a connection is, and what it speaks. */
enum {
  /** A server that sees by the first bytes what is spoken: HTTP/1.1 or HTTP/2. */
  LWX_ROLE_SERVER = 0,
  /** A server over TLS whose ALPN has not chosen h2. */
  LWX_ROLE_SERVER_HTTP1 = 1,
  /** A server over TLS whose ALPN has chosen h2. */
  LWX_ROLE_SERVER_HTTP2 = 2,
  /** A raw stream from the first byte. */
  LWX_ROLE_SERVER_RAW = 3,
  /** A client of HTTP/1.1 and WebSocket. Needs fill_random, as LWX_ROLE_CLIENT_HTTP2 does. */
  LWX_ROLE_CLIENT = 4,
  /** A client of HTTP/2. */
  LWX_ROLE_CLIENT_HTTP2 = 5,
  /** A client's raw stream. */
  LWX_ROLE_CLIENT_RAW = 6
};

/** Of a server: what is no HTTP is a raw stream instead of an error. */
#define LWX_CONN_OR_RAW 1u
/** WebSocket compression (permessage-deflate, RFC 7692) is offered by a client, and accepted by a server. */
#define LWX_CONN_DEFLATE 2u
/** Messages come in parts, as they arrive; nothing of them is held. Otherwise each comes whole, within message_bytes_max. */
#define LWX_CONN_STREAMED 4u
/** The requests of an HTTP/2 client have the scheme https. */
#define LWX_CONN_HTTPS 8u

/** Options of a connection. Zero is the library's own value. */
typedef struct lwx_conn_options {
  size_t size;
  /** LWX_ROLE_... */
  int32_t role;
  /** LWX_CONN_... */
  uint32_t flags;
  /** Fills memory with random bytes that nobody can foresee: masks and nonces of a client, RFC 6455 section 10.3. It must fill all. */
  void (*fill_random)(void *user, uint8_t *bytes, size_t size);
  /** What fill_random is called with. */
  void *user;
  /** The most bytes of a head. Past it: 431. */
  uint64_t head_bytes_max;
  /** The most bytes of a request's content. Past it: 413. */
  uint64_t content_bytes_max;
  /** The most bytes of a message that comes whole. Past it: close code 1009. */
  uint64_t message_bytes_max;
  /** The most bytes that wait to be sent before there are no more permits. */
  uint64_t send_queue_bytes_max;
  /** How long a head may take, in microseconds. */
  uint64_t head_timeout_us;
  /** How long a connection may be without a request. */
  uint64_t keep_alive_timeout_us;
  /** How long the peer of a WebSocket may be silent before it is sent a Ping. */
  uint64_t ping_interval_us;
  /** Seconds since 1970, for the Date of responses; 0 sends none. */
  uint64_t unix_seconds;
} lwx_conn_options;

/** Makes a connection that was opened at `now`, and writes it to `conn`; NULL if it fails. `options` may be NULL: a server.
 * LWX_E_SIZE, LWX_E_ARGUMENT (lwx_last_error() says which limit), LWX_E_NULL for a client without fill_random. */
int32_t lwx_conn_new(const lwx_conn_options *options, uint64_t now, lwx_conn **conn);

/** Frees a connection. NULL is fine. Its transport is the program's to close. Inside its own fill_random it does nothing. */
void lwx_conn_free(lwx_conn *conn);

/** Takes bytes of the peer, as many as there is room for, and writes how many to `taken`: 0 while LWX_INTEREST_READ is not set, and
 * otherwise at least one. Look at the events before the next call. */
int32_t lwx_conn_receive(lwx_conn *conn, uint64_t now, const uint8_t *bytes, size_t size, size_t *taken);

/** How the peer's direction has ended. */
enum {
  /** In order: FIN, or close_notify of TLS. */
  LWX_END_ORDERLY = 0,
  /** Without the end that the transport foresees, as TLS without close_notify: what came before may be cut. */
  LWX_END_TRUNCATED = 1,
  /** The transport has failed: nothing can be sent either. */
  LWX_END_FAILED = 2
};

/** The peer will send no more. */
int32_t lwx_conn_received_end(lwx_conn *conn, uint64_t now, int32_t how);

/** What has happened. The comment says which members of lwx_conn_event have a meaning beside key. */
enum {
  /** A server has the head of a request: method, target, fields, version; LWX_END if there is no content. */
  LWX_EVENT_REQUEST = 1,
  /** A client has the head of a response, 1xx too: status, fields, version; LWX_END if there is no content. */
  LWX_EVENT_RESPONSE = 2,
  /** Content: data, LWX_END. Empty only if the end comes late. */
  LWX_EVENT_CONTENT = 3,
  /** The trailer section: fields. */
  LWX_EVENT_TRAILERS = 4,
  /** The stream now is a WebSocket; of a client with the fields of the response. */
  LWX_EVENT_WEBSOCKET = 5,
  /** The stream now is raw. */
  LWX_EVENT_RAW_OPEN = 6,
  /** A message or a part of one: data, LWX_FIRST, LWX_END, LWX_TEXT, remaining. A text that is whole is UTF-8. */
  LWX_EVENT_MESSAGE = 7,
  /** A Ping: data. It is answered already. */
  LWX_EVENT_PING = 8,
  /** A Pong: data. */
  LWX_EVENT_PONG = 9,
  /** A Close frame: code, data is the reason. It is answered already, and LWX_EVENT_CLOSED follows. */
  LWX_EVENT_CLOSE = 10,
  /** Bytes of a raw stream: data, LWX_END when the peer has ended its direction. */
  LWX_EVENT_RAW = 11,
  /** The permit that lwx_conn_want_write() asked for: remaining is its budget. */
  LWX_EVENT_WRITABLE = 12,
  /** The moment of lwx_conn_set_timer(). */
  LWX_EVENT_TIMER = 13,
  /** The peer of an exchange that is still to be answered has ended its direction. */
  LWX_EVENT_PEER_ENDED = 14,
  /** The stream is over: cause, code, LWX_BY_PEER, data is a short stable name of the cause. Once for each stream, and nothing after. */
  LWX_EVENT_CLOSED = 15,
  /** Something that a later version has a number for. Leave it. */
  LWX_EVENT_OTHER = 16
};

/** Of LWX_EVENT_REQUEST: it asks to become a WebSocket, and lwx_conn_accept_websocket() can make it one. */
#define LWX_OPENING 16u
/** Of LWX_EVENT_CLOSED: the peer began to close. */
#define LWX_BY_PEER 32u

/** An event. Everything it points to is the library's, and valid until the next lwx_conn_next_event() or lwx_conn_free(). */
typedef struct lwx_conn_event {
  size_t size;
  lwx_key key;
  /** LWX_EVENT_... */
  int32_t kind;
  /** LWX_END, LWX_FIRST, LWX_TEXT, LWX_OPENING, LWX_BY_PEER. */
  uint32_t flags;
  lwx_str data;
  /** Of a message: bytes of this frame that are still to come. Of LWX_EVENT_WRITABLE: the budget. */
  uint64_t remaining;
  /** As the peer wrote it. */
  lwx_str method;
  /** Visible ASCII, as the peer wrote it: neither decoded nor normalised. */
  lwx_str target;
  const lwx_field *fields;
  size_t field_count;
  uint32_t status;
  /** Of HTTP: 10, 11, 20. */
  uint32_t version;
  /** LWX_CAUSE_... */
  int32_t cause;
  /** Of a close: 1005 if the frame had none, 1006 if there was no frame, 0 if none was due. */
  uint32_t code;
} lwx_conn_event;

/** Writes the next event, and answers 1; 0 if there is none until something is received, resumed or due. Set `size` before. */
int32_t lwx_conn_next_event(lwx_conn *conn, lwx_conn_event *event);

/** Lends the next bytes for the transport, and answers 1; 0 if there are none. Valid until the next call on the connection. Several
 * pieces may be queued: this is the first. */
int32_t lwx_conn_transmit(lwx_conn *conn, uint64_t now, lwx_str *bytes);

/** The transport has taken so many of the bytes that lwx_conn_transmit() lends. More than that is LWX_E_LENGTH. */
int32_t lwx_conn_transmitted(lwx_conn *conn, uint64_t now, size_t size);

/** Bytes of the peer are wanted. */
#define LWX_INTEREST_READ 1u
/** Bytes for the peer are queued. */
#define LWX_INTEREST_WRITE 2u
/** Nothing more will be queued: once what is queued has gone, FIN should follow. */
#define LWX_INTEREST_SHUTDOWN 4u
/** lwx_conn_next_event() may have something to say although nothing was received: forced service. Call it before you sleep. */
#define LWX_INTEREST_SERVICE 8u
/** The transport may be closed. */
#define LWX_INTEREST_CLOSE 16u
/** With LWX_INTEREST_CLOSE: what was sent is incomplete, so close by a reset, and TLS without close_notify. */
#define LWX_INTEREST_RESET 32u

/** What the driver has to see to before it sleeps. */
typedef struct lwx_conn_interest {
  size_t size;
  /** LWX_INTEREST_... */
  uint32_t flags;
  uint32_t reserved;
  /** When lwx_conn_handle_timeout() is due; UINT64_MAX is never. */
  uint64_t deadline_us;
} lwx_conn_interest;

/** Writes what the driver has to see to. Set `size` before. Does not change the connection. */
int32_t lwx_conn_get_interest(lwx_conn *conn, lwx_conn_interest *interest);

/** Does what is due at `now`. A call before its time does nothing. */
int32_t lwx_conn_handle_timeout(lwx_conn *conn, uint64_t now);

/** A request of a client, or its opening handshake. */
typedef struct lwx_conn_request_options {
  size_t size;
  /** A token, such as "GET". Of an opening handshake it does not count. */
  const char *method;
  /** A path, perhaps with a query. */
  const char *target;
  /** For the field Host: a name or address, perhaps with a port. */
  const char *host;
  /** Of an opening handshake: subprotocols to offer, the best first, with commas between them. May be NULL. */
  const char *protocols;
  const lwx_field *fields;
  size_t field_count;
  /** The content, or its beginning. */
  const uint8_t *content;
  size_t content_size;
  /** LWX_END: that is all of the content. */
  uint32_t flags;
  uint32_t reserved;
} lwx_conn_request_options;

/** Sends a request, and writes its key. LWX_E_STATE if this is no client or, over HTTP/1.1, an exchange runs; LWX_E_LIMIT if too many
 * wait; LWX_E_FIELD if it cannot be written. */
int32_t lwx_conn_request(lwx_conn *conn, uint64_t now, const lwx_conn_request_options *request, lwx_key *key);

/** Sends an opening handshake. LWX_EVENT_WEBSOCKET follows, or LWX_EVENT_CLOSED. Errors as of lwx_conn_request(). */
int32_t lwx_conn_connect_websocket(lwx_conn *conn, uint64_t now, const lwx_conn_request_options *request, lwx_key *key);

/** Makes the request of the last event a WebSocket. `protocol` is one of those offered, or NULL; `fields` are further ones of the
 * response. LWX_E_STATE if the last event was not this request, or any other call on the connection has
 * been made since; LWX_E_FIELD if the handshake breaks a rule, which has been answered then with 400 or 426. */
int32_t lwx_conn_accept_websocket(lwx_conn *conn, lwx_key key, const char *protocol, const lwx_field *fields,
                                  size_t field_count);

/** Sends the head of a response, and content with it: all of it with LWX_END. A status of 1xx is an interim response, without content.
 * The library writes Content-Length or frames the content by chunks. LWX_E_AGAIN, LWX_E_FIELD, LWX_E_LENGTH, LWX_E_STATE, LWX_E_STALE,
 * LWX_E_PROTOCOL. */
int32_t lwx_conn_respond(lwx_conn *conn, lwx_key key, uint32_t status, const lwx_field *fields, size_t field_count,
                         const uint8_t *content, size_t size, uint32_t flags);

/** Sends content, a message or bytes, by what the stream speaks. Flags: LWX_END ends content, message or direction; LWX_TEXT and
 * LWX_PING (up to 125 bytes) are of WebSockets. LWX_E_AGAIN takes nothing. LWX_E_FIELD for a text that is not UTF-8. */
int32_t lwx_conn_write(lwx_conn *conn, lwx_key key, const uint8_t *bytes, size_t size, uint32_t flags);

/** Writes how many bytes one write may have before the peer or the queue says stop; 0 is no permit now. A larger write is taken all the
 * same, and the next permit waits until it has gone. */
int32_t lwx_conn_budget(lwx_conn *conn, lwx_key key, size_t *budget);

/** Asks for one LWX_EVENT_WRITABLE, when there is a permit. Asking twice is asking once. */
int32_t lwx_conn_want_write(lwx_conn *conn, lwx_key key);

/** Takes no input for the stream until lwx_conn_resume(); what was received already is kept. */
int32_t lwx_conn_pause(lwx_conn *conn, lwx_key key);

/** Takes input again. */
int32_t lwx_conn_resume(lwx_conn *conn, lwx_key key);

/** Asks for one LWX_EVENT_TIMER at `at`, in place of the one asked for before; UINT64_MAX takes it back. */
int32_t lwx_conn_set_timer(lwx_conn *conn, lwx_key key, uint64_t at);

/** Begins the closing handshake of a WebSocket. A code of 0 is 1000, and 1005 sends none; the reason is UTF-8 of 123 bytes at most. */
int32_t lwx_conn_close(lwx_conn *conn, lwx_key key, uint32_t code, const char *reason, size_t size);

/** Ends the stream at once. What is queued is lost; LWX_EVENT_CLOSED follows. */
int32_t lwx_conn_abort(lwx_conn *conn, lwx_key key);

/** Ends the connection in an orderly way: a WebSocket gets close code 1001, a running exchange is the last one, an idle connection ends. */
int32_t lwx_conn_drain(lwx_conn *conn, uint64_t now);

#ifdef __cplusplus
}
#endif

#endif
