/*
 * lwx_plugin.h: protocols for the server lwsws, in a library of their own.
 *
 *   static const lwx_plugin_protocol echo = {sizeof echo, "echo", LWX_PLUGIN_WEBSOCKET, 0, ..., message, ...};
 *   static const lwx_plugin_protocol *const protocols[] = {&echo};
 *   static const lwx_plugin plugin = {sizeof plugin, LWX_PLUGIN_ABI, 1, protocols};
 *
 *   LWX_PLUGIN_EXPORT const lwx_plugin *lwx_plugin_entry(const lwx_plugin_host *host) {
 *     server = host;
 *     return &plugin;
 *   }
 *
 * The server opens each file of its plugin folders whose name ends in ".so" once, calls lwx_plugin_entry() in it once, and never closes it.
 * The tables that it answers have to stay as they are for as long as the process lives. A site that names a protocol of the plugin in its
 * "ws-protocols" then gets `site_init`, each of its connections `open`, and everything else what the connection does.
 *
 * The rules are those of lwx_base.h, with these beside them:
 *
 * Errors. A callback answers 0 or more if all is well, and otherwise LWX_E_...: a site whose `site_init` does so is not served, and the
 * server does not start, or leaves its configuration as it was; a session that does so is ended, a WebSocket with close code 1011.
 *
 * Order. Of a site: `site_init`, its sessions, `site_destroy`. Of a session: `open`, then `message`, `writable` and `timer` in any order
 * and number, then `closed`; `closed` comes exactly once if `open` has answered well, and not otherwise. `site_destroy` comes behind the
 * last `closed` of its site: a site that a reload takes away lives on until its last session has ended.
 *
 * Requests. A session of LWX_PLUGIN_HTTP is one request with its response, of a mount whose origin is "callback://" and the protocol's name.
 * `open` gets the request up to its content, which follows piece by piece in `message`, the last with LWX_END. The protocol answers by one
 * `respond`, in any call of the session that has a budget, and sends what is left of the content by `write`, one piece for each `writable`.
 * The response to a HEAD ends with its head. A session that answers LWX_E_... is answered 500 as long as nothing of its response has been
 * sent, and is cut off otherwise. So is one whose response cannot be sent, as with more content than its Content-Length says.
 *
 * Threads. Each session belongs to one thread of the server, and no two calls of one library overlap, on whatever threads. A protocol with
 * LWX_PLUGIN_CONCURRENT gives that up: its sessions are then called at the same time on several threads. A call that waits makes every
 * connection of its thread wait.
 *
 * Sessions are keys, and a key is good during a call of its own session: at any other time, and on any other thread, functions of the
 * server answer LWX_E_STALE. What a call asks of the server takes effect when it has returned, in this order: timer, pause,
 * limit_content, respond or write, want_write_all, want_write, close. Of two that ask for the same the last counts, but for writes, of
 * which a call has one. Nothing that a call asks for takes effect if it answers LWX_E_....
 *
 * Versions. A plugin of an earlier header runs with a later server. What came later stands at the end of its struct: a plugin for requests
 * is refused by a server that knows none, so that it need not look; any other one looks at `size` before it uses what came with them.
 */
#ifndef LWX_PLUGIN_H
#define LWX_PLUGIN_H

#include "lwx_base.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The version of this interface. It changes when plugins of before can no longer be used; what is added meanwhile makes structs longer. */
#define LWX_PLUGIN_ABI 1u

/** WebSockets of the protocol's name, or that ask for none where a site says "default". */
#define LWX_PLUGIN_WEBSOCKET 1u
/** Connections that carry bytes and no HTTP. */
#define LWX_PLUGIN_RAW 2u
/** Requests of HTTP, of a mount with the origin "callback://" and the protocol's name. */
#define LWX_PLUGIN_HTTP 4u

/** Sessions of the protocol may be called at the same time on several threads. */
#define LWX_PLUGIN_CONCURRENT 1u

/** Bytes that `site_init` may write to say what is wrong, the NUL at the end as well. */
#define LWX_PLUGIN_ERROR_SIZE 256u

/** Field lines that one response may have. */
#define LWX_PLUGIN_FIELDS_MAX 128u

/** What a plugin may ask of the server. Valid for as long as the process lives; every function of it answers LWX_E_PANIC for a defect of
 * the server. */
typedef struct lwx_plugin_host {
  size_t size;
  /** LWX_PLUGIN_ABI of the server. */
  uint32_t abi;
  uint32_t reserved;
  /** Writes a message, binary or with LWX_TEXT, or bytes of a raw stream or of a response's content, which LWX_END ends. Once in a call,
   * and in a call with a budget: LWX_E_AGAIN otherwise, and nothing was taken. LWX_E_FIELD for a text that is not UTF-8; LWX_E_ARGUMENT for
   * other flags; LWX_E_STATE for content without a response that has begun and not ended. */
  int32_t (*write)(lwx_key session, const void *data, size_t size, uint32_t flags);
  /** Bytes that can be written before the peer says stop, more than which are taken all the same; 0 without a permit to write. */
  size_t (*budget)(lwx_key session);
  /** Asks for one `writable`. */
  int32_t (*want_write)(lwx_key session);
  /** Asks for a `writable` of every WebSocket at the mount that this one came in by, on all threads, of other protocols as well.
   * LWX_E_STATE for a raw stream or a request. */
  int32_t (*want_write_all)(lwx_key session);
  /** Takes no more from the peer (nonzero), or goes on (zero). Of a request that is its content. */
  int32_t (*pause)(lwx_key session, int32_t paused);
  /** Asks for one `timer` after so many milliseconds, in place of one that was asked for before; UINT64_MAX for none. */
  int32_t (*set_timer)(lwx_key session, uint64_t milliseconds);
  /** Ends the session: a WebSocket with this code and a reason of up to 123 bytes of UTF-8, a raw stream at once, and so the connection of
   * a request, or in HTTP/2 its stream. LWX_E_FIELD. */
  int32_t (*close)(lwx_key session, uint16_t code, const char *reason, size_t size);
  /** Writes the value of an option of the site as text, one of objects and lists as JSON; 1 if there is one, 0 if not. In `site_init`
   * alone, until whose end it is lent: LWX_E_STATE elsewhere. */
  int32_t (*option)(const char *name, lwx_str *value);
  /* From here on with LWX_PLUGIN_HTTP. LWX_E_STATE for sessions that are no requests. */
  /** Sends the head of the response, of a status from 200 to 599, and content with it: all of it with LWX_END; `write` sends the rest
   * otherwise. It counts as the write of its call, and comes once: LWX_E_STATE. The server itself says how the content is framed, and its
   * length if that is known. LWX_E_FIELD for a status, or for a field line that has no token as its name or a line break or NUL in its
   * value, or that the server writes: Connection, Keep-Alive, Transfer-Encoding, Host. LWX_E_LIMIT past LWX_PLUGIN_FIELDS_MAX,
   * LWX_E_ARGUMENT for other flags, LWX_E_AGAIN in a call without a budget. */
  int32_t (*respond)(lwx_key session, uint32_t status, const lwx_field *fields, size_t field_count, const void *data, size_t size,
                     uint32_t flags);
  /** Writes the nth value, from 0 on, of the request's field lines of a name, in whatever case; 1 if there is one, 0 if not. In `open`
   * alone, until whose end it is lent: LWX_E_STATE elsewhere. */
  int32_t (*field)(lwx_key session, const char *name, size_t nth, lwx_str *value);
  /** Limits the content of the request, in place of `content-bytes-max` of the site's limits. Past it the request is answered 413, and the
   * session is over. */
  int32_t (*limit_content)(lwx_key session, uint64_t bytes);
} lwx_plugin_host;

/** A site that begins. All of it is lent until `site_init` returns. */
typedef struct lwx_plugin_site {
  size_t size;
  /** The name that requests call it by. */
  lwx_str name;
  /** The name of the protocol. */
  lwx_str protocol;
  /** The options as a JSON object, with "default", "raw" and "status" if they were said. */
  lwx_str options;
} lwx_plugin_site;

/** What a session began with. All of it is lent until `open` returns; empty for raw streams but for the peer. */
typedef struct lwx_plugin_opening {
  size_t size;
  /** LWX_PLUGIN_WEBSOCKET, LWX_PLUGIN_RAW or LWX_PLUGIN_HTTP. */
  uint32_t kind;
  /** LWX_END for a request without content; 0 otherwise. */
  uint32_t flags;
  /** Decoded and normalised. */
  lwx_str path;
  /** Without "?", as the peer wrote it. */
  lwx_str query;
  /** The address of the peer, "192.0.2.1:4711". */
  lwx_str peer;
  /** The method of a request, as the peer wrote it. With LWX_PLUGIN_HTTP. */
  lwx_str method;
} lwx_plugin_opening;

/** A protocol. Every callback but `site_init`, `site_destroy` and `message` may be NULL, and `open` of one for requests may not. */
typedef struct lwx_plugin_protocol {
  size_t size;
  /** The name: a token of HTTP, of up to 128 bytes. */
  const char *name;
  /** LWX_PLUGIN_WEBSOCKET, LWX_PLUGIN_RAW, LWX_PLUGIN_HTTP, or several of them. */
  uint32_t kinds;
  /** LWX_PLUGIN_CONCURRENT or 0. */
  uint32_t flags;
  /** A site begins. Sets `site_user`, which its other callbacks get. What is wrong may be written to `error`, terminated, of
   * LWX_PLUGIN_ERROR_SIZE bytes. Answers LWX_E_...: then nothing else comes of this site. */
  int32_t (*site_init)(const lwx_plugin_site *site, void **site_user, char *error);
  /** A site has ended, and its last session before it. On any thread. */
  void (*site_destroy)(void *site_user);
  /** A connection begins. Sets `user`, which the other callbacks of the session get. */
  int32_t (*open)(lwx_key session, const lwx_plugin_opening *opening, void *site_user, void **user);
  /** A whole message with LWX_TEXT or not, or bytes of a raw stream or of a request's content, which are the last with LWX_END, and may then
   * be none. */
  int32_t (*message)(lwx_key session, void *user, const void *data, size_t size, uint32_t flags);
  /** The permit to write that was asked for; sometimes also one that was not. */
  int32_t (*writable)(lwx_key session, void *user);
  /** The time that was asked for. */
  int32_t (*timer)(lwx_key session, void *user);
  /** The session is over: LWX_CAUSE_.... The last that comes of it; nothing can be asked of the server any more. */
  void (*closed)(void *user, int32_t cause);
} lwx_plugin_protocol;

/** A library: what lwx_plugin_entry() answers. */
typedef struct lwx_plugin {
  size_t size;
  /** LWX_PLUGIN_ABI of this header. */
  uint32_t abi;
  /** 1 to 64. */
  uint32_t protocol_count;
  const lwx_plugin_protocol *const *protocols;
} lwx_plugin;

/** Makes a function visible in a library that hides its others. */
#if defined(__GNUC__)
#define LWX_PLUGIN_EXPORT __attribute__((visibility("default")))
#else
#define LWX_PLUGIN_EXPORT
#endif

/** What every plugin defines. NULL: it cannot be used here. */
LWX_PLUGIN_EXPORT const lwx_plugin *lwx_plugin_entry(const lwx_plugin_host *host);

#ifdef __cplusplus
}
#endif

#endif
