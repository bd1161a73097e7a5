/* The native half of echo.js: the service on Node's own loop, each descriptor in a uv_poll_t of the libuv that Node has brought.
 *
 * Its functions are found by their names in the program itself. The libuv that the library is linked with is another one, and would abort over
 * the loop: lwx_service_attach_uv_of() takes the version too, and refuses it. */
#define _GNU_SOURCE
#include "recipe.h"

#include <dlfcn.h>
#include <node_api.h>
#include <uv.h>

struct hosted {
  lwx_service *service;
  napi_env env;
  napi_ref on_message;
};

static void *find(void *user, const char *name) {
  return dlsym(user, name);
}

static napi_value failed(napi_env env, const char *what) {
  napi_throw_error(env, NULL, what);
  return NULL;
}

/* Hands a message to JavaScript, and sends back what that answers. */
static void on_js_message(lwx_service *service, lwx_key key, const uint8_t *bytes, size_t size, uint32_t flags, void *user) {
  struct hosted *hosted = user;
  napi_env env = hosted->env;
  napi_handle_scope scope;
  napi_value callback, receiver, argument, reply;
  void *content;
  size_t length;

  /* libuv called, and not JavaScript: values live in a scope of ours. */
  napi_open_handle_scope(env, &scope);
  napi_get_reference_value(env, hosted->on_message, &callback);
  napi_get_global(env, &receiver);
  napi_create_buffer_copy(env, size, bytes, NULL, &argument);
  /* With this, promises and process.nextTick() of the callback run when it returns. */
  if (napi_make_callback(env, NULL, receiver, callback, 1, &argument, &reply) == napi_ok &&
      napi_get_buffer_info(env, reply, &content, &length) == napi_ok) {
    on_message(service, key, content, length, flags, NULL);
  } else {
    napi_value error;
    napi_get_and_clear_last_exception(env, &error);
    lwx_close(service, key, 1011, NULL, 0);
  }
  napi_close_handle_scope(env, scope);
}

/* serve(address, onMessage): begins to serve, and keeps Node running until POST /stop. */
static napi_value serve(napi_env env, napi_callback_info info) {
  static struct hosted hosted;
  napi_value arguments[2];
  size_t count = 2, size;
  char address[128];
  uv_loop_t *loop;
  lwx_handler echo, page;

  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count != 2 ||
      napi_get_value_string_utf8(env, arguments[0], address, sizeof address, &size) != napi_ok ||
      napi_create_reference(env, arguments[1], 1, &hosted.on_message) != napi_ok || napi_get_uv_event_loop(env, &loop) != napi_ok)
    return failed(env, "serve(address, onMessage)");
  hosted.env = env;
  LWX_INIT(&echo);
  echo.data = on_js_message;
  echo.writable = on_writable;
  echo.user = &hosted;
  LWX_INIT(&page);
  page.request = on_page;
  check(lwx_service_new(NULL, &hosted.service), "service");
  check(lwx_listen(hosted.service, address, NULL, NULL), "listen");
  check(lwx_route(hosted.service, LWX_ROUTE_WEBSOCKET, "/echo", &echo), "/echo");
  check(lwx_route(hosted.service, LWX_ROUTE_HTTP, "/", &page), "/");
  serve_stop(hosted.service);
  check(lwx_service_start(hosted.service), "start");
  /* Another version is refused with words, and the service stays as it is. */
  if (lwx_service_attach_uv_of(hosted.service, loop, 0x010d00, find, RTLD_DEFAULT) != LWX_E_SYSTEM)
    return failed(env, "a loop of another libuv was accepted");
  printf("refused: %s\n", lwx_last_error());
  check(lwx_service_attach_uv_of(hosted.service, loop, uv_version(), find, RTLD_DEFAULT), "attach");
  check(lwx_service_address(hosted.service, 0, address, sizeof address), "address");
  printf("listening on %s\n", address);
  fflush(stdout);
  return NULL;
}

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "serve", NAPI_AUTO_LENGTH, serve, NULL, &function);
  napi_set_named_property(env, exports, "serve", function);
  return exports;
}
