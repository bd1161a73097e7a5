/*
 * shelf.c: a plugin for lwsws that answers requests: what is put below its mount is kept in memory, and got from there.
 *
 *   cc -std=c99 -fPIC -shared -I.../include -o shelf.so shelf.c
 *
 *   "ws-protocols": [ { "shelf": { "bytes-max": "100000" } } ],
 *   "mounts": [ { "mountpoint": "/shelf", "origin": "callback://shelf" } ]
 *
 *   curl -T file http://host/shelf/a       201, or 204 if there was something; 413 past "bytes-max"; 507 when the shelf is full
 *   curl http://host/shelf/a               200 with the Content-Type of then, in pieces as the peer takes them; or 404
 *   curl http://host/shelf/a?after=50      the same 50 milliseconds later
 *   curl -X DELETE http://host/shelf/a     204 or 404
 */
#include "lwx_plugin.h"

#include <stdio.h>
#include <stdlib.h>

static const lwx_plugin_host *server;

/** Things of one site, bytes of the path and type of one, and bytes of one without an option. */
#define THINGS_MAX 64
#define NAME_SIZE 128
#define BYTES_MAX 100000
/** Bytes of one piece of a response. */
#define PIECE 4096

/** What was put somewhere. Requests that send it have a share, so that it may be replaced meanwhile. */
struct thing {
  char name[NAME_SIZE];
  char type[NAME_SIZE];
  char *bytes;
  size_t size;
  unsigned shares;
};

/** A site. No two calls of a library without LWX_PLUGIN_CONCURRENT overlap, so that nothing here needs a lock. */
struct site {
  struct thing *things[THINGS_MAX];
  size_t bytes_max;
};

/** A request: what it puts, or what it sends and how far it is. */
struct request {
  struct site *site;
  struct thing *putting;
  struct thing *sending;
  size_t sent;
  uint32_t status;
};

static void let_go(struct thing *thing) {
  if (thing && --thing->shares == 0) {
    free(thing->bytes);
    free(thing);
  }
}

static int32_t site_init(const lwx_plugin_site *lent, void **user, char *error) {
  lwx_str option = lwx_text("");
  struct site *site = calloc(1, sizeof *site);
  (void)lent;
  if (!site) {
    return LWX_E_LIMIT;
  }
  site->bytes_max = BYTES_MAX;
  if (server->option("bytes-max", &option) > 0) {
    size_t index;
    site->bytes_max = 0;
    for (index = 0; index < option.size && index < 9 && option.data[index] >= '0' && option.data[index] <= '9'; index++) {
      site->bytes_max = site->bytes_max * 10 + (size_t)(option.data[index] - '0');
    }
    if (index != option.size || site->bytes_max == 0) {
      snprintf(error, LWX_PLUGIN_ERROR_SIZE, "\"bytes-max\" is a number from 1 to 999999999");
      free(site);
      return LWX_E_ARGUMENT;
    }
  }
  *user = site;
  return 0;
}

static void site_destroy(void *user) {
  struct site *site = user;
  size_t index;
  for (index = 0; index < THINGS_MAX; index++) {
    let_go(site->things[index]);
  }
  free(site);
}

static int is(lwx_str text, const char *expected) {
  return text.size == strlen(expected) && memcmp(text.data, expected, text.size) == 0;
}

/** Where a thing stands, or where one could; NULL if the shelf is full. */
static struct thing **find(struct site *site, lwx_str name) {
  struct thing **room = NULL;
  size_t index;
  for (index = 0; index < THINGS_MAX; index++) {
    struct thing **at = &site->things[index];
    if (*at && is(name, (*at)->name)) {
      return at;
    }
    if (!*at && !room) {
      room = at;
    }
  }
  return room;
}

/** An answer of a status and nothing else. */
static int32_t answer(lwx_key key, uint32_t status) {
  lwx_field allow = lwx_line("Allow", "GET, HEAD, PUT, DELETE");
  return server->respond(key, status, &allow, status == 405 ? 1 : 0, NULL, 0, LWX_END);
}

/** Begins to send: the head now, and pieces when they can be written. */
static int32_t begin_sending(lwx_key key, struct request *request) {
  char length[24];
  lwx_field fields[2];
  int32_t code;
  snprintf(length, sizeof length, "%lu", (unsigned long)request->sending->size);
  fields[0] = lwx_line("Content-Type", request->sending->type);
  fields[1] = lwx_line("Content-Length", length);
  code = server->respond(key, 200, fields, 2, NULL, 0, request->sending->size ? 0 : LWX_END);
  return code < 0 ? code : server->want_write(key);
}

/** Answers as soon as there is a permit, which `open` and `message` may not have: then `writable` does. */
static int32_t answer_soon(lwx_key key, struct request *request, uint32_t status) {
  request->status = status;
  return server->want_write(key);
}

static int32_t put(lwx_key key, struct request *request, const lwx_plugin_opening *opening) {
  lwx_str type = lwx_text("application/octet-stream");
  struct thing *thing;
  if (opening->path.size >= NAME_SIZE) {
    return answer_soon(key, request, 414);
  }
  if (!find(request->site, opening->path)) {
    return answer_soon(key, request, 507);
  }
  server->field(key, "content-type", 0, &type);
  if (type.size >= NAME_SIZE) {
    return answer_soon(key, request, 415);
  }
  thing = request->putting = calloc(1, sizeof *thing);
  if (!thing) {
    return LWX_E_LIMIT;
  }
  thing->shares = 1;
  memcpy(thing->name, opening->path.data, opening->path.size);
  memcpy(thing->type, type.data, type.size);
  /* Past it the server answers 413. */
  return server->limit_content(key, request->site->bytes_max);
}

/** All of the content is there. */
static int32_t keep(lwx_key key, struct request *request) {
  struct thing **at = find(request->site, lwx_text(request->putting->name));
  uint32_t status = 507;
  if (at) {
    status = *at ? 204 : 201;
    let_go(*at);
    *at = request->putting;
    request->putting = NULL;
  }
  return answer_soon(key, request, status);
}

static int32_t opened(lwx_key key, const lwx_plugin_opening *opening, void *site_user, void **user) {
  struct request *request = calloc(1, sizeof *request);
  struct thing **at;
  int32_t code;
  if (!request) {
    return LWX_E_LIMIT;
  }
  request->site = site_user;
  at = find(request->site, opening->path);
  if (is(opening->method, "PUT")) {
    code = put(key, request, opening);
    if (code == 0 && request->putting && opening->flags & LWX_END) {
      code = keep(key, request);
    }
  } else if (is(opening->method, "DELETE")) {
    code = answer_soon(key, request, at && *at ? 204 : 404);
    if (at) {
      let_go(*at);
      *at = NULL;
    }
  } else if (!is(opening->method, "GET") && !is(opening->method, "HEAD")) {
    code = answer_soon(key, request, 405);
  } else if (!at || !*at) {
    code = answer_soon(key, request, 404);
  } else {
    request->sending = *at;
    request->sending->shares++;
    request->status = 200;
    if (opening->query.size > 6 && memcmp(opening->query.data, "after=", 6) == 0) {
      char digits[8] = "";
      /* What is lent is not terminated. */
      memcpy(digits, opening->query.data + 6, opening->query.size < 12 ? opening->query.size - 6 : 5);
      code = server->set_timer(key, strtoul(digits, NULL, 10));
    } else {
      code = server->want_write(key);
    }
  }
  /* Of a session that does not begin there is no `closed`. */
  if (code < 0) {
    let_go(request->putting);
    let_go(request->sending);
    free(request);
    return code;
  }
  *user = request;
  return 0;
}

static int32_t content(lwx_key key, void *user, const void *data, size_t size, uint32_t flags) {
  struct request *request = user;
  struct thing *thing = request->putting;
  if (!thing) {
    /* It has been answered already. */
    return 0;
  }
  if (size) {
    char *longer = realloc(thing->bytes, thing->size + size);
    if (!longer) {
      return LWX_E_LIMIT;
    }
    memcpy(longer + thing->size, data, size);
    thing->bytes = longer;
    thing->size += size;
  }
  return flags & LWX_END ? keep(key, request) : 0;
}

static int32_t timer(lwx_key key, void *user) {
  (void)user;
  return server->want_write(key);
}

static int32_t writable(lwx_key key, void *user) {
  struct request *request = user;
  uint32_t status = request->status;
  size_t size;
  int32_t code;
  request->status = 0;
  if (status) {
    return request->sending ? begin_sending(key, request) : answer(key, status);
  }
  if (!request->sending) {
    return 0;
  }
  size = request->sending->size - request->sent;
  if (size > PIECE) {
    size = PIECE;
  }
  code = server->write(key, request->sending->bytes + request->sent, size, request->sent + size == request->sending->size ? LWX_END : 0);
  if (code < 0) {
    return code;
  }
  request->sent += size;
  return request->sent < request->sending->size ? server->want_write(key) : 0;
}

static void closed(void *user, int32_t cause) {
  struct request *request = user;
  (void)cause;
  let_go(request->putting);
  let_go(request->sending);
  free(request);
}

static const lwx_plugin_protocol shelf = {
    sizeof shelf, "shelf", LWX_PLUGIN_HTTP, 0, site_init, site_destroy, opened, content, writable, timer, closed,
};

static const lwx_plugin_protocol *const protocols[] = {&shelf};

static const lwx_plugin plugin = {sizeof plugin, LWX_PLUGIN_ABI, 1, protocols};

LWX_PLUGIN_EXPORT const lwx_plugin *lwx_plugin_entry(const lwx_plugin_host *host) {
  server = host;
  return &plugin;
}
