/*
 * lwx_base.h: what both headers of the library share.
 *
 * The rules of the whole interface:
 *
 * - Functions that can fail answer int32_t: zero or more is good, less is one of LWX_E_..., whose text is lwx_strerror(). A call that
 *   failed has done nothing, unless its description says otherwise.
 * - Texts that the library lends (lwx_str) are not terminated. Texts of the program are terminated where the type is const char *, and
 *   have a length where there is one beside them. Bytes behind a length of zero may be NULL.
 * - Streams are 64-bit keys, not pointers. A key carries a generation: that of a stream which has ended answers LWX_E_STALE, and never
 *   finds another stream. Zero is no key.
 * - Structs that may grow begin with their size, which the program sets (LWX_INIT does). What is zero is as the library has it. A newer
 *   program with an older library is refused with LWX_E_SIZE only if it has set something that the library does not know.
 * - No panic of the library comes out of a function: the call answers LWX_E_PANIC, and the handle then answers that to everything but
 *   its _free. A callback must return: longjmp or a C++ exception through the library is undefined, and mostly ends the process.
 * - NULL for a handle answers LWX_E_NULL; _free functions take it and do nothing.
 */
#ifndef LWX_BASE_H
#define LWX_BASE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The version of this header: 0xMMmmpp00. */
#define LWX_VERSION_NUMBER 0x00010000u

/** The version of the library that runs, as LWX_VERSION_NUMBER. Never fails. */
uint32_t lwx_version_number(void);

/** The same as text, "0.1.0", which is there for ever. */
const char *lwx_version(void);

/** Messages of WebSockets can be compressed (RFC 7692). */
#define LWX_FEATURE_DEFLATE 1u
/** Listeners can have TLS. */
#define LWX_FEATURE_TLS 2u
/** lwx_service_attach_uv() is there. */
#define LWX_FEATURE_UV 4u

/** What the library was built with: LWX_FEATURE_... */
uint64_t lwx_features(void);

/** Why a call did nothing. */
enum {
  /** A pointer is NULL that must not be. */
  LWX_E_NULL = -1,
  /** An argument has a value that it cannot have. */
  LWX_E_ARGUMENT = -2,
  /** The size of a struct is wrong, or something is set that this library does not know. */
  LWX_E_SIZE = -3,
  /** The key is of something that has gone, or never was. */
  LWX_E_STALE = -4,
  /** No permit to write now: nothing was taken. Ask for one, and write in the callback or event that it comes with. */
  LWX_E_AGAIN = -5,
  /** Not now, or not in this role: a second response, a request while one runs. */
  LWX_E_STATE = -6,
  /** The stream speaks another protocol: a message on an exchange, a response on a WebSocket. */
  LWX_E_PROTOCOL = -7,
  /** A field, method, target, status, close code or text that cannot be written, or that the library writes itself. */
  LWX_E_FIELD = -8,
  /** More or less content than was said. */
  LWX_E_LENGTH = -9,
  /** Not inside this call. */
  LWX_E_RECURSIVE = -10,
  /** Not on this thread. */
  LWX_E_THREAD = -11,
  /** The process is a child, by fork(2), of the one that the service belongs to. */
  LWX_E_FORKED = -12,
  /** A defect of the library. The handle can only be freed. */
  LWX_E_PANIC = -13,
  /** The system said no: lwx_last_error() says what. */
  LWX_E_SYSTEM = -14,
  /** A limit is reached. */
  LWX_E_LIMIT = -15,
  /** Not in this build of the library. */
  LWX_E_UNSUPPORTED = -16,
  /** The service has ended. */
  LWX_E_GONE = -17
};

/** The text of a code, for a person; there for ever. Any number may be asked for. */
const char *lwx_strerror(int32_t code);

/** What was wrong with the last LWX_E_SYSTEM or, for options, LWX_E_ARGUMENT on this thread: valid until the next call that fails so on
 * it. Empty if there was none. */
const char *lwx_last_error(void);

/** Names a stream. Zero is none. */
typedef uint64_t lwx_key;

/** Bytes, not terminated. The data is not NULL unless the size is zero. */
typedef struct lwx_str {
  const char *data;
  size_t size;
} lwx_str;

/** A field line. Names of fields that were received are as the peer wrote them, in HTTP/2 in lower case. */
typedef struct lwx_field {
  lwx_str name;
  lwx_str value;
} lwx_field;

/** A terminated text as an lwx_str. */
static inline lwx_str lwx_text(const char *text) {
  lwx_str str;
  str.data = text;
  str.size = text ? strlen(text) : 0;
  return str;
}

/** A field line of two terminated texts. */
static inline lwx_field lwx_line(const char *name, const char *value) {
  lwx_field field;
  field.name = lwx_text(name);
  field.value = lwx_text(value);
  return field;
}

/** Empties a struct that begins with its size, and sets that. */
#define LWX_INIT(pointer) (memset((pointer), 0, sizeof *(pointer)), (void)((pointer)->size = sizeof *(pointer)))

/** The last bytes: of content, of a message, of a direction. */
#define LWX_END 1u
/** The first bytes of a message. */
#define LWX_FIRST 2u
/** A text message; without it, a binary one. */
#define LWX_TEXT 4u
/** A Ping in place of a message. */
#define LWX_PING 8u

/** Why a stream has ended. */
enum {
  /** Request and response were sent and received to their ends. */
  LWX_CAUSE_COMPLETE = 1,
  /** The closing handshake of a WebSocket was done, or a raw stream ended in both directions. */
  LWX_CAUSE_CLOSED = 2,
  /** The peer broke a rule of the protocol. */
  LWX_CAUSE_VIOLATION = 3,
  /** The peer met a limit. */
  LWX_CAUSE_LIMIT = 4,
  /** The peer let a deadline pass. */
  LWX_CAUSE_TIMEOUT = 5,
  /** The server's answer to an opening handshake was no agreement. */
  LWX_CAUSE_HANDSHAKE = 6,
  /** The peer reset the stream. */
  LWX_CAUSE_RESET = 7,
  /** The peer has not processed the request at all: it may be sent again on another connection. */
  LWX_CAUSE_REFUSED = 8,
  /** The transport ended in the middle of something. */
  LWX_CAUSE_DISCONNECTED = 9,
  /** The transport ended without the end that TLS foresees. */
  LWX_CAUSE_TRUNCATED = 10,
  /** This side gave up. */
  LWX_CAUSE_ABORTED = 11,
  /** Something that a later version has a number for. */
  LWX_CAUSE_OTHER = 12,
  /** No connection could be made: no address, no answer, no agreement of TLS or of a proxy. */
  LWX_CAUSE_UNREACHABLE = 13
};

#ifdef __cplusplus
}
#endif

#endif
