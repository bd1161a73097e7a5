/* A protocol for tests whose requests fail in every way, each by its path; "/closed" answers with the number of sessions that were closed. */
#include "lwx_plugin.h"

#include <stdio.h>

static const lwx_plugin_host *server;
static int closings;

struct session {
  char path[16];
};

static int is(const struct session *session, const char *path) { return strcmp(session->path, path) == 0; }

static int32_t site_init(const lwx_plugin_site *site, void **user, char *error) {
  (void)site;
  (void)error;
  *user = NULL;
  return 0;
}

static void site_destroy(void *user) { (void)user; }

/** Begins a response of this length. */
static int32_t begin(lwx_key key, const char *length) {
  lwx_field field = lwx_line("Content-Length", length);
  return server->respond(key, 200, &field, 1, "half", 4, 0);
}

static int32_t opened(lwx_key key, const lwx_plugin_opening *opening, void *site_user, void **user) {
  static struct session sessions[64];
  static size_t count;
  struct session *session = &sessions[count++ % 64];
  char text[16];
  (void)site_user;
  memset(session, 0, sizeof *session);
  memcpy(session->path, opening->path.data, opening->path.size < 15 ? opening->path.size : 15);
  *user = session;
  if (is(session, "/closed")) {
    return server->respond(key, 200, NULL, 0, text, (size_t)snprintf(text, sizeof text, "%d", closings), LWX_END);
  }
  if (is(session, "/open")) {
    return LWX_E_STATE;
  }
  if (is(session, "/long")) {
    return server->respond(key, 200, (lwx_field[]){lwx_line("Content-Length", "2")}, 1, "four", 4, LWX_END);
  }
  if (is(session, "/twice")) {
    int32_t first = server->respond(key, 200, NULL, 0, "a", 1, 0);
    return first < 0 ? first : server->respond(key, 200, NULL, 0, "b", 1, 0) == LWX_E_STATE ? server->close(key, 0, NULL, 0) : 0;
  }
  if (is(session, "/half") || is(session, "/short") || is(session, "/leave")) {
    int32_t begun = begin(key, "8");
    return begun < 0 ? begun : server->set_timer(key, 10);
  }
  return opening->flags & LWX_END ? LWX_E_STATE : 0;
}

static int32_t message(lwx_key key, void *user, const void *data, size_t size, uint32_t flags) {
  const struct session *session = user;
  lwx_str value;
  (void)data;
  /* The fields were there in `open`. */
  if (server->field(key, "host", 0, &value) != LWX_E_STATE || is(session, "/content")) {
    return LWX_E_PROTOCOL;
  }
  return size && flags & LWX_END ? server->respond(key, 204, NULL, 0, NULL, 0, LWX_END) : 0;
}

static int32_t timer(lwx_key key, void *user) {
  const struct session *session = user;
  if (is(session, "/half")) {
    return LWX_E_STATE;
  }
  return is(session, "/leave") ? server->close(key, 0, NULL, 0) : server->write(key, "s", 1, LWX_END);
}

static void closed(void *user, int32_t cause) {
  (void)user;
  closings += cause != 0;
}

static const lwx_plugin_protocol failing = {
    sizeof failing, "failing", LWX_PLUGIN_HTTP, 0, site_init, site_destroy, opened, message, NULL, timer, closed,
};

static const lwx_plugin_protocol *const protocols[] = {&failing};

static const lwx_plugin plugin = {sizeof plugin, LWX_PLUGIN_ABI, 1, protocols};

LWX_PLUGIN_EXPORT const lwx_plugin *lwx_plugin_entry(const lwx_plugin_host *host) {
  server = host;
  return &plugin;
}
