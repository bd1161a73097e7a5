/* The native half of echo.erl: enif_select() watches the service's descriptor, and a process does what it says.
 *
 * A process runs on any scheduler, so that the service leaves its thread at the end of each call and enters another one at the begin of the
 * next. No call waits: a dispatch takes its budget at most, 1 ms, which is what a native function may take of a scheduler. */
#include "recipe.h"

#include <erl_nif.h>

struct hosted {
  lwx_service *service;
  /* Where messages go. */
  ErlNifPid owner;
  /* Of the call that dispatches. */
  ErlNifEnv *env;
};

static ErlNifResourceType *type;

/* Whose call this thread is in: the pointer of a stream is its reply. */
static __thread struct hosted *entered;

static ERL_NIF_TERM atom(ErlNifEnv *env, const char *name) {
  return enif_make_atom(env, name);
}

/* A message goes to the process, as {message, Key, Binary, Flags}: it is done with it in its own time. */
static void on_erlang_message(lwx_service *service, lwx_key key, const uint8_t *bytes, size_t size, uint32_t flags, void *user) {
  ErlNifEnv *env = enif_alloc_env();
  ERL_NIF_TERM binary;
  (void)user;
  memcpy(enif_make_new_binary(env, size, &binary), bytes, size);
  /* Until it is answered the peer waits: the mailbox of a process has no bound of its own. */
  lwx_pause(service, key);
  enif_send(entered->env, &entered->owner, env,
            enif_make_tuple4(env, atom(env, "message"), enif_make_uint64(env, key), binary, enif_make_uint(env, flags)));
  enif_free_env(env);
}

/* There is a permit, for which reply() has asked. */
static void on_erlang_writable(lwx_service *service, lwx_key key, void *user) {
  struct waiting *waiting = user;
  lwx_write(service, key, waiting->bytes, waiting->size, waiting->flags);
  lwx_set_user(service, key, NULL, NULL);
  lwx_resume(service, key);
}

static struct hosted *enter(ErlNifEnv *env, ERL_NIF_TERM term) {
  void *found;
  struct hosted *hosted;
  if (!enif_get_resource(env, term, type, &found))
    return NULL;
  hosted = found;
  if (hosted->service == NULL || lwx_service_enter_thread(hosted->service) < 0)
    return NULL;
  hosted->env = env;
  return entered = hosted;
}

/* open(Address) -> Service */
static ERL_NIF_TERM open_service(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
  struct hosted *hosted;
  lwx_handler echo, page;
  char address[128];
  ERL_NIF_TERM term;
  (void)argc;
  if (enif_get_string(env, argv[0], address, sizeof address, ERL_NIF_LATIN1) <= 0)
    return enif_make_badarg(env);
  hosted = enif_alloc_resource(type, sizeof *hosted);
  memset(hosted, 0, sizeof *hosted);
  enif_self(env, &hosted->owner);
  LWX_INIT(&echo);
  echo.data = on_erlang_message;
  echo.writable = on_erlang_writable;
  LWX_INIT(&page);
  page.request = on_page;
  check(lwx_service_new(NULL, &hosted->service), "service");
  check(lwx_listen(hosted->service, address, NULL, NULL), "listen");
  check(lwx_route(hosted->service, LWX_ROUTE_WEBSOCKET, "/echo", &echo), "/echo");
  check(lwx_route(hosted->service, LWX_ROUTE_HTTP, "/", &page), "/");
  serve_stop(hosted->service);
  start(hosted->service);
  check(lwx_service_leave_thread(hosted->service), "leave");
  term = enif_make_resource(env, hosted);
  enif_release_resource(hosted);
  return term;
}

/* dispatch(Service, Ref) -> Milliseconds | infinity | done. Until then, or until {select, Service, Ref, ready_input}, there is nothing to do. */
static ERL_NIF_TERM dispatch(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
  struct hosted *hosted = enter(env, argv[0]);
  int32_t alive, timeout, fd;
  (void)argc;
  if (hosted == NULL)
    return enif_make_badarg(env);
  alive = check(lwx_service_dispatch(hosted->service), "dispatch");
  fd = check(lwx_service_fd(hosted->service), "descriptor");
  timeout = lwx_service_timeout_ms(hosted->service);
  check(lwx_service_leave_thread(hosted->service), "leave");
  if (!alive) {
    /* The virtual machine lets go of the descriptor first: on_stop is called then, and not before that is the service freed. */
    enif_select(env, (ErlNifEvent)fd, ERL_NIF_SELECT_STOP, hosted, NULL, atom(env, "undefined"));
    return atom(env, "done");
  }
  enif_select(env, (ErlNifEvent)fd, ERL_NIF_SELECT_READ, hosted, NULL, argv[1]);
  return timeout < 0 ? atom(env, "infinity") : enif_make_int(env, timeout);
}

/* reply(Service, Key, Binary, Flags) -> ok: the next dispatch, which is to come soon, sends it when there is a permit. */
static ERL_NIF_TERM reply(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
  struct hosted *hosted;
  struct waiting *waiting;
  ErlNifBinary content;
  ErlNifUInt64 key;
  unsigned flags;
  (void)argc;
  if (!enif_get_uint64(env, argv[1], &key) || !enif_inspect_binary(env, argv[2], &content) || !enif_get_uint(env, argv[3], &flags) ||
      (hosted = enter(env, argv[0])) == NULL)
    return enif_make_badarg(env);
  waiting = malloc(sizeof *waiting + content.size);
  if (waiting != NULL) {
    waiting->flags = flags & (LWX_TEXT | LWX_END);
    waiting->size = content.size;
    memcpy(waiting->bytes, content.data, content.size);
    /* A stream that has gone meanwhile: the reply is dropped. */
    lwx_set_user(hosted->service, key, waiting, free);
    lwx_want_write(hosted->service, key);
  }
  check(lwx_service_leave_thread(hosted->service), "leave");
  return atom(env, "ok");
}

static void on_stop_select(ErlNifEnv *env, void *object, ErlNifEvent event, int direct) {
  struct hosted *hosted = object;
  (void)env;
  (void)event;
  (void)direct;
  if (lwx_service_enter_thread(hosted->service) == 0)
    lwx_service_free(hosted->service);
  hosted->service = NULL;
}

static int load(ErlNifEnv *env, void **data, ERL_NIF_TERM info) {
  ErlNifResourceTypeInit init;
  (void)data;
  (void)info;
  memset(&init, 0, sizeof init);
  init.stop = on_stop_select;
  type = enif_open_resource_type_x(env, "service", &init, ERL_NIF_RT_CREATE, NULL);
  return type == NULL;
}

static ErlNifFunc functions[] = {{"open", 1, open_service, 0}, {"dispatch", 2, dispatch, 0}, {"reply", 4, reply, 0}};

ERL_NIF_INIT(echo, functions, load, NULL, NULL, NULL)
