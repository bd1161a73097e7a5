/*
 * tally.c: a plugin for lwsws with two protocols.
 *
 *   cc -std=c99 -fPIC -shared -I.../include -o tally.so tally.c
 *
 * `tally` answers each text with the greeting that the site's options say, and the number of texts that its site has got. Three texts are
 * special: "all" has every session of the site say its number, "later" is answered a little later, and "stop" ends the session with an
 * error. `shout` is a raw stream that sends what it gets in capital letters; as its sessions share nothing, they may be called at the same
 * time.
 */
#include "lwx_plugin.h"

#include <stdio.h>
#include <stdlib.h>

static const lwx_plugin_host *server;

/** Milliseconds until "later" is answered. */
#define LATER 20

/** A site: what its sessions share. No two calls of a protocol without LWX_PLUGIN_CONCURRENT overlap, so that nothing here needs a lock. */
struct site {
  char greeting[64];
  unsigned long messages;
  /** Texts "all" so far. */
  unsigned long calls;
};

/** A session: what it has to say when it may write. */
struct session {
  struct site *site;
  unsigned long due;
  /** Texts "all" that it has answered, or that were before it. */
  unsigned long calls;
};

/** Says what happens to sites where the environment names a file for that, for tests. */
static void note(const char *what) {
  const char *path = getenv("TALLY_NOTES");
  FILE *file = path ? fopen(path, "a") : NULL;
  if (file) {
    fprintf(file, "%s\n", what);
    fclose(file);
  }
}

static int32_t site_init(const lwx_plugin_site *lent, void **user, char *error) {
  lwx_str greeting = lwx_text("tally");
  struct site *site;
  (void)lent;
  if (server->option("greeting", &greeting) > 0 && (greeting.size == 0 || greeting.size >= sizeof site->greeting)) {
    snprintf(error, LWX_PLUGIN_ERROR_SIZE, "\"greeting\" has 1 to %lu bytes", (unsigned long)sizeof site->greeting - 1);
    return LWX_E_ARGUMENT;
  }
  site = calloc(1, sizeof *site);
  if (!site) {
    return LWX_E_LIMIT;
  }
  memcpy(site->greeting, greeting.data, greeting.size);
  *user = site;
  note("init");
  return 0;
}

static void site_destroy(void *user) {
  note("destroy");
  free(user);
}

static int32_t opened(lwx_key key, const lwx_plugin_opening *opening, void *site_user, void **user) {
  struct session *session = calloc(1, sizeof *session);
  (void)key;
  (void)opening;
  if (!session) {
    return LWX_E_LIMIT;
  }
  session->site = site_user;
  session->calls = session->site->calls;
  *user = session;
  note("open");
  return 0;
}

static void closed(void *user, int32_t cause) {
  (void)cause;
  note("closed");
  free(user);
}

static int32_t message(lwx_key key, void *user, const void *data, size_t size, uint32_t flags) {
  struct session *session = user;
  if (!(flags & LWX_TEXT)) {
    return server->close(key, 1003, "texts only", 10);
  }
  if (size == 4 && memcmp(data, "stop", 4) == 0) {
    return LWX_E_STATE;
  }
  if (size == 3 && memcmp(data, "all", 3) == 0) {
    session->site->calls++;
    return server->want_write_all(key);
  }
  session->due = ++session->site->messages;
  if (size == 5 && memcmp(data, "later", 5) == 0) {
    return server->set_timer(key, LATER);
  }
  return server->want_write(key);
}

static int32_t timer(lwx_key key, void *user) {
  (void)user;
  return server->want_write(key);
}

static int32_t writable(lwx_key key, void *user) {
  struct session *session = user;
  char text[96];
  int length;
  if (session->calls != session->site->calls) {
    session->calls = session->site->calls;
    length = snprintf(text, sizeof text, "call %lu", session->calls);
    /* One write for each permit: what else is due comes with the next one. */
    if (session->due != 0) {
      server->want_write(key);
    }
    return server->write(key, text, (size_t)length, LWX_TEXT);
  }
  if (session->due == 0) {
    return 0;
  }
  length = snprintf(text, sizeof text, "%s %lu", session->site->greeting, session->due);
  session->due = 0;
  return server->write(key, text, (size_t)length, LWX_TEXT);
}

/** What a raw stream could not write at once. While there is some, no more is taken from the peer. */
struct shouter {
  char *held;
  size_t size;
  uint32_t flags;
};

static int32_t shouter_opened(lwx_key key, const lwx_plugin_opening *opening, void *site_user, void **user) {
  (void)key;
  (void)opening;
  (void)site_user;
  *user = calloc(1, sizeof(struct shouter));
  return *user ? 0 : LWX_E_LIMIT;
}

static void shouter_closed(void *user, int32_t cause) {
  struct shouter *shouter = user;
  (void)cause;
  free(shouter->held);
  free(shouter);
}

static int32_t shout(lwx_key key, void *user, const void *data, size_t size, uint32_t flags) {
  struct shouter *shouter = user;
  const char *from = data;
  char *capitals = malloc(size + 1);
  int32_t answer;
  size_t index;
  if (!capitals) {
    return LWX_E_LIMIT;
  }
  for (index = 0; index < size; index++) {
    capitals[index] = (char)(from[index] >= 'a' && from[index] <= 'z' ? from[index] - 'a' + 'A' : from[index]);
  }
  answer = server->write(key, capitals, size, flags & LWX_END);
  if (answer != LWX_E_AGAIN) {
    free(capitals);
    return answer;
  }
  shouter->held = capitals;
  shouter->size = size;
  shouter->flags = flags & LWX_END;
  server->pause(key, 1);
  return server->want_write(key);
}

static int32_t shouter_writable(lwx_key key, void *user) {
  struct shouter *shouter = user;
  int32_t answer;
  if (!shouter->held) {
    return 0;
  }
  answer = server->write(key, shouter->held, shouter->size, shouter->flags);
  free(shouter->held);
  shouter->held = NULL;
  server->pause(key, 0);
  return answer;
}

static const lwx_plugin_protocol tally = {
    sizeof tally, "tally", LWX_PLUGIN_WEBSOCKET, 0, site_init, site_destroy, opened, message, writable, timer, closed,
};

static const lwx_plugin_protocol loud = {
    sizeof loud, "shout", LWX_PLUGIN_RAW, LWX_PLUGIN_CONCURRENT, site_init, site_destroy, shouter_opened, shout, shouter_writable, NULL, shouter_closed,
};

static const lwx_plugin_protocol *const protocols[] = {&tally, &loud};

static const lwx_plugin plugin = {sizeof plugin, LWX_PLUGIN_ABI, 2, protocols};

LWX_PLUGIN_EXPORT const lwx_plugin *lwx_plugin_entry(const lwx_plugin_host *host) {
  server = host;
  return &plugin;
}
