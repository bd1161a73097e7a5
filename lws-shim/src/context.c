/* Contexts and vhosts: how they begin, wait and end. */
#include "shim.h"

#include <arpa/inet.h>
#include <net/if.h>

/* ---- Descriptors: the context waits for those of all vhosts, and the program may as well ---- */

/* Tells the program of a change, for which the first protocol of the vhost is there. */
static void tell_poll(struct lws_vhost *vhost, enum lws_callback_reasons reason, int fd, int events, int before) {
  struct lws_pollargs args;
  struct lws about;
  memset(&about, 0, sizeof about);
  args.fd = fd;
  args.events = events;
  args.prev_events = before;
  about.vhost = vhost;
  about.protocol = &vhost->protocols[0];
  about.fd = fd;
  call(&about, reason, &args, 0);
}

static int poll_events(uint32_t events) {
  return (events & LWX_READ ? POLLIN : 0) | (events & LWX_WRITE ? POLLOUT : 0);
}

static size_t find_fd(struct lws_context *context, int fd) {
  size_t at;
  for (at = 0; at < context->fd_count; at++)
    if (context->fds[at].fd == fd || context->fds[at].fd == ~fd)
      break;
  return at;
}

static int32_t host_add(void *user, int32_t fd, uint64_t token, uint32_t events) {
  struct lws_vhost *vhost = user;
  struct lws_context *context = vhost->context;
  size_t at = context->fd_count;
  if (at == context->fd_room) {
    size_t room = context->fd_room ? 2 * context->fd_room : 16;
    struct pollfd *fds = realloc(context->fds, room * sizeof *fds);
    struct vhost_entry *entries;
    if (fds == NULL)
      return -1;
    context->fds = fds;
    entries = realloc(context->entries, room * sizeof *entries);
    if (entries == NULL)
      return -1;
    context->entries = entries;
    context->fd_room = room;
  }
  context->fd_count++;
  context->fds[at].fd = events ? fd : ~fd;
  context->fds[at].events = (short)poll_events(events);
  context->fds[at].revents = 0;
  context->entries[at].vhost = vhost;
  context->entries[at].token = token;
  if (events)
    tell_poll(vhost, LWS_CALLBACK_ADD_POLL_FD, fd, poll_events(events), 0);
  return 0;
}

static int32_t host_modify(void *user, int32_t fd, uint64_t token, uint32_t events) {
  struct lws_vhost *vhost = user;
  struct lws_context *context = vhost->context;
  size_t at = find_fd(context, fd);
  int before;
  (void)token;
  if (at == context->fd_count)
    return -1;
  before = context->fds[at].fd < 0 ? -1 : context->fds[at].events;
  context->fds[at].fd = events ? fd : ~fd;
  context->fds[at].events = (short)poll_events(events);
  /* What is watched for nothing at all is not in the program's array. */
  if (events == 0 && before >= 0)
    tell_poll(vhost, LWS_CALLBACK_DEL_POLL_FD, fd, 0, before);
  else if (events && before < 0)
    tell_poll(vhost, LWS_CALLBACK_ADD_POLL_FD, fd, poll_events(events), 0);
  else if (events)
    tell_poll(vhost, LWS_CALLBACK_CHANGE_MODE_POLL_FD, fd, poll_events(events), before);
  return 0;
}

static void host_remove(void *user, int32_t fd, uint64_t token) {
  struct lws_vhost *vhost = user;
  struct lws_context *context = vhost->context;
  size_t at = find_fd(context, fd);
  (void)token;
  if (at == context->fd_count)
    return;
  if (context->fds[at].fd >= 0)
    tell_poll(vhost, LWS_CALLBACK_DEL_POLL_FD, fd, 0, context->fds[at].events);
  context->fd_count--;
  context->fds[at] = context->fds[context->fd_count];
  context->entries[at] = context->entries[context->fd_count];
}

/* ---- Vhosts ---- */

/* Calls every protocol of a vhost, about no connection. */
static int call_protocols(struct lws_vhost *vhost, enum lws_callback_reasons reason, const struct lws_protocol_vhost_options *options) {
  struct lws about;
  size_t at;
  memset(&about, 0, sizeof about);
  about.vhost = vhost;
  about.fd = -1;
  for (at = 0; at < vhost->protocol_count; at++) {
    const struct lws_protocol_vhost_options *own = options;
    while (own && strcmp(own->name, vhost->protocols[at].name) != 0)
      own = own->next;
    about.protocol = &vhost->protocols[at];
    if (call(&about, reason, own ? (void *)own->options : NULL, 0) != 0)
      return -1;
  }
  return 0;
}

const struct lws_protocols *protocol_by_name(struct lws_vhost *vhost, const char *name) {
  size_t at;
  for (at = 0; name && at < vhost->protocol_count; at++)
    if (strcmp(vhost->protocols[at].name, name) == 0)
      return &vhost->protocols[at];
  return NULL;
}

/* Where a vhost listens, as lwx has it. 0 if it listens nowhere, -1 if that cannot be said. */
static int listen_address(const struct lws_context_creation_info *info, char *text, size_t size) {
  struct in6_addr address;
  const char *iface = info->iface;
  if (info->port == CONTEXT_PORT_NO_LISTEN || info->port == CONTEXT_PORT_NO_LISTEN_SERVER)
    return 0;
  if (info->options & LWS_SERVER_OPTION_UNIX_SOCK)
    return iface ? snprintf(text, size, "unix:%s", iface) : -1;
  if (iface && strcmp(iface, "lo") == 0)
    iface = "127.0.0.1";
  if (iface == NULL)
    return snprintf(text, size, info->options & LWS_SERVER_OPTION_DISABLE_IPV6 ? "0.0.0.0:%d" : "[::]:%d", info->port);
  if (inet_pton(AF_INET6, iface, &address) == 1)
    return snprintf(text, size, "[%s]:%d", iface, info->port);
  /* The name of an interface other than the loopback is not looked up. */
  return inet_pton(AF_INET, iface, &address) == 1 ? snprintf(text, size, "%s:%d", iface, info->port) : -1;
}

static int vhost_listen(struct lws_vhost *vhost, const struct lws_context_creation_info *info) {
  char address[256];
  int size = listen_address(info, address, sizeof address);
  lwx_listen_options options;
  lwx_handler raw;
  if (size <= 0)
    return size;
  vhost->listens = 1;
  LWX_INIT(&options);
  options.tls_certificate = info->ssl_cert_filepath;
  options.tls_key = info->ssl_private_key_filepath;
  vhost->raw_protocol = protocol_by_name(vhost, info->listen_accept_protocol);
  if (vhost->raw_protocol == NULL)
    vhost->raw_protocol = &vhost->protocols[0];
  describe_handler(&raw, KIND_RAW);
  raw.user = vhost;
  if (info->options & LWS_SERVER_OPTION_FALLBACK_TO_APPLY_LISTEN_ACCEPT_CONFIG)
    lwx_raw_fallback(vhost->service, &raw);
  else if (info->listen_accept_role && strncmp(info->listen_accept_role, "raw", 3) == 0)
    options.raw = &raw;
  return lwx_listen(vhost->service, address, &options, NULL);
}

static int vhost_mount(struct lws_vhost *vhost, const char *path, const struct lws_http_mount *mount) {
  struct mounted *mounted;
  lwx_handler handler;
  lwx_files_options files;
  if (mount && mount->origin_protocol == LWSMPRO_FILE) {
    LWX_INIT(&files);
    files.index = mount->def;
    return lwx_files(vhost->service, path, mount->origin, &files);
  }
  if ((mounted = calloc(1, sizeof *mounted)) == NULL)
    return -1;
  mounted->vhost = vhost;
  mounted->mount = mount;
  mounted->next = vhost->mounts;
  vhost->mounts = mounted;
  describe_handler(&handler, KIND_HTTP);
  handler.user = mounted;
  return lwx_route(vhost->service, LWX_ROUTE_HTTP, path, &handler);
}

/* WebSockets everywhere, files and requests below their mounts. */
static int vhost_routes(struct lws_vhost *vhost, const struct lws_context_creation_info *info) {
  const struct lws_http_mount *mount;
  lwx_handler websockets;
  int has_root = 0;
  for (mount = info->mounts; mount; mount = mount->mount_next) {
    const char *path = *mount->mountpoint ? mount->mountpoint : "/";
    has_root |= strcmp(path, "/") == 0;
    if (vhost_mount(vhost, path, mount) < 0)
      return -1;
  }
  if (!has_root && vhost_mount(vhost, "/", NULL) < 0)
    return -1;
  describe_handler(&websockets, KIND_WS);
  websockets.user = vhost;
  websockets.flags = LWX_HANDLER_STREAMED;
  {
    char names[1024] = "";
    size_t at, size = 0;
    for (at = 0; at < vhost->protocol_count; at++)
      size += (size_t)snprintf(names + size, size < sizeof names ? sizeof names - size : 0, "%s%s", at ? "," : "", vhost->protocols[at].name);
    websockets.protocols = names;
    return size < sizeof names ? lwx_route(vhost->service, LWX_ROUTE_WEBSOCKET, "/", &websockets) : -1;
  }
}

static struct lws_vhost *vhost_new(struct lws_context *context, const struct lws_context_creation_info *info) {
  static const struct lws_protocols none[] = {{"http", lws_callback_http_dummy, 0, 0, 0, NULL, 0}, {NULL, NULL, 0, 0, 0, NULL, 0}};
  struct lws_vhost *vhost = calloc(1, sizeof *vhost);
  lwx_service_options options;
  if (vhost == NULL)
    return NULL;
  vhost->context = context;
  vhost->protocols = info->protocols ? info->protocols : none;
  while (vhost->protocols[vhost->protocol_count].callback)
    vhost->protocol_count++;
  vhost->user = info->user;
  vhost->name = copy_text(lwx_text(info->vhost_name ? info->vhost_name : "default"));
  vhost->roots = info->client_ssl_ca_filepath ? copy_text(lwx_text(info->client_ssl_ca_filepath)) : NULL;
  vhost->private_data = calloc(vhost->protocol_count + 1, sizeof *vhost->private_data);
  LWX_INIT(&options);
  options.flags = LWX_SERVICE_ANY_HOST | (info->extensions ? LWX_SERVICE_DEFLATE : 0);
  if (info->options & LWS_SERVER_OPTION_HTTP_HEADERS_SECURITY_BEST_PRACTICES_ENFORCE)
    options.flags |= LWX_SERVICE_STRICT_PAGES;
  options.keep_alive_timeout_us = info->keepalive_timeout > 0 ? (uint64_t)info->keepalive_timeout * 1000000 : 0;
  if (lwx_service_new(&options, &vhost->service) < 0 || vhost_listen(vhost, info) < 0 || vhost_routes(vhost, info) < 0) {
    _lws_log(LLL_ERR, "vhost %s: %s", vhost->name, lwx_last_error());
    lwx_service_free(vhost->service);
    vhost->service = NULL;
  }
  return vhost;
}

int vhost_start(struct lws_vhost *vhost) {
  lwx_host host;
  if (vhost->started)
    return vhost->started;
  LWX_INIT(&host);
  host.add = host_add;
  host.modify = host_modify;
  host.remove = host_remove;
  host.user = vhost;
  vhost->started = -1;
  if (lwx_service_start(vhost->service) < 0 || lwx_service_set_host(vhost->service, &host) < 0 ||
      lwx_poster_new(vhost->service, &vhost->poster) < 0) {
    _lws_log(LLL_ERR, "vhost %s: %s", vhost->name, lwx_last_error());
    return -1;
  }
  vhost->started = 1;
  lwx_service_dispatch(vhost->service);
  return 1;
}

/* Connections are told of their ends, which the service does not do when it is freed. */
static void end_connections(struct lws_vhost *vhost) {
  static const enum lws_callback_reasons reasons[] = {LWS_CALLBACK_CLOSED_HTTP,        LWS_CALLBACK_CLOSED_HTTP,
                                                      LWS_CALLBACK_CLOSED,             LWS_CALLBACK_RAW_CLOSE,
                                                      LWS_CALLBACK_RAW_CLOSE_FILE,     LWS_CALLBACK_RAW_CLOSE,
                                                      LWS_CALLBACK_CLOSED_CLIENT_HTTP, LWS_CALLBACK_CLIENT_CLOSED};
  struct lws *wsi, *next;
  for (wsi = vhost->connections; wsi; wsi = next) {
    int watched = wsi->kind == KIND_FILE || wsi->kind == KIND_UDP;
    next = wsi->next;
    wsi->ending = 1;
    call(wsi, reasons[wsi->kind], NULL, 0);
    if (watched) {
      /* The service lets go of it, and frees it then. */
      wsi->kind = KIND_NONE;
      continue;
    }
    lwx_set_user(vhost->service, wsi->key, NULL, NULL);
    connection_free(wsi);
  }
}

static void vhost_free(struct lws_vhost *vhost) {
  size_t at;
  end_connections(vhost);
  if (vhost->started > 0)
    call_protocols(vhost, LWS_CALLBACK_PROTOCOL_DESTROY, NULL);
  lwx_poster_free(vhost->poster);
  lwx_service_free(vhost->service);
  while (vhost->mounts) {
    struct mounted *first = vhost->mounts;
    vhost->mounts = first->next;
    free(first);
  }
  for (at = 0; at < vhost->protocol_count; at++)
    free(vhost->private_data[at]);
  free(vhost->private_data);
  free(vhost->name);
  free(vhost->roots);
  free(vhost);
}

struct lws_vhost *lws_create_vhost(struct lws_context *context, const struct lws_context_creation_info *info) {
  struct lws_vhost *vhost = vhost_new(context, info), **end = &context->vhosts;
  if (vhost == NULL || vhost->service == NULL) {
    if (vhost)
      vhost_free(vhost);
    return NULL;
  }
  while (*end)
    end = &(*end)->next;
  *end = vhost;
  if (vhost_start(vhost) < 0 || call_protocols(vhost, LWS_CALLBACK_PROTOCOL_INIT, info->pvo) < 0) {
    *end = NULL;
    vhost_free(vhost);
    return NULL;
  }
  return vhost;
}

struct lws_context *lws_create_context(const struct lws_context_creation_info *info) {
  struct lws_context *context = calloc(1, sizeof *context);
  if (context == NULL)
    return NULL;
  context->user = info->user;
  if (!(info->options & LWS_SERVER_OPTION_EXPLICIT_VHOSTS) && lws_create_vhost(context, info) == NULL) {
    free(context->fds);
    free(context->entries);
    free(context);
    return NULL;
  }
  return context;
}

static void context_free(struct lws_context *context) {
  struct lws_vhost *vhost = context->vhosts;
  while (vhost) {
    struct lws_vhost *next = vhost->next;
    vhost_free(vhost);
    vhost = next;
  }
  free(context->fds);
  free(context->entries);
  free(context);
}

void lws_context_destroy(struct lws_context *context) {
  if (context == NULL)
    return;
  context->destroyed = 1;
  if (context->depth == 0)
    context_free(context);
}

void *lws_context_user(struct lws_context *context) {
  return context->user;
}

struct lws_vhost *lws_get_vhost_by_name(struct lws_context *context, const char *name) {
  struct lws_vhost *vhost;
  for (vhost = context->vhosts; vhost; vhost = vhost->next)
    if (strcmp(vhost->name, name) == 0)
      return vhost;
  return NULL;
}

const char *lws_get_vhost_name(struct lws_vhost *vhost) {
  return vhost->name;
}

int lws_get_vhost_listen_port(struct lws_vhost *vhost) {
  char address[256], *colon;
  if (!vhost->listens || lwx_service_address(vhost->service, 0, address, sizeof address) < 0)
    return CONTEXT_PORT_NO_LISTEN;
  colon = strrchr(address, ':');
  return colon ? atoi(colon + 1) : 0;
}

void *lws_vhost_user(struct lws_vhost *vhost) {
  return vhost->user;
}

const struct lws_protocols *lws_vhost_name_to_protocol(struct lws_vhost *vhost, const char *name) {
  return protocol_by_name(vhost, name);
}

void *lws_protocol_vh_priv_zalloc(struct lws_vhost *vhost, const struct lws_protocols *protocol, int size) {
  size_t at = (size_t)(protocol - vhost->protocols);
  if (at >= vhost->protocol_count)
    return NULL;
  free(vhost->private_data[at]);
  return vhost->private_data[at] = calloc(1, (size_t)size);
}

void *lws_protocol_vh_priv_get(struct lws_vhost *vhost, const struct lws_protocols *protocol) {
  size_t at = vhost && protocol ? (size_t)(protocol - vhost->protocols) : (size_t)-1;
  return vhost && at < vhost->protocol_count ? vhost->private_data[at] : NULL;
}

/* ---- Service ---- */

/* Lets all vhosts do what is due. */
static int dispatch(struct lws_context *context) {
  struct lws_vhost *vhost;
  int alive = 0;
  for (vhost = context->vhosts; vhost && !context->destroyed; vhost = vhost->next)
    alive |= lwx_service_dispatch(vhost->service) > 0;
  return alive;
}

static int leave(struct lws_context *context, int answer) {
  context->depth--;
  if (context->destroyed && context->depth == 0) {
    context_free(context);
    return -1;
  }
  return context->destroyed ? -1 : answer;
}

/* The least timeout of all vhosts, in milliseconds; -1 is for ever. */
static int least_timeout(struct lws_context *context) {
  struct lws_vhost *vhost;
  int least = -1;
  for (vhost = context->vhosts; vhost; vhost = vhost->next) {
    int timeout = lwx_service_timeout_ms(vhost->service);
    if (timeout >= 0 && (least < 0 || timeout < least))
      least = timeout;
  }
  return least;
}

static void give_ready(struct lws_context *context, struct pollfd *ready) {
  size_t at = find_fd(context, ready->fd);
  if (at < context->fd_count)
    lwx_service_pollfd(context->entries[at].vhost->service, ready);
}

int lws_service(struct lws_context *context, int timeout_ms) {
  struct pollfd *ready;
  size_t count, at;
  int alive;
  if (context == NULL)
    return -1;
  context->depth++;
  alive = dispatch(context);
  if (context->destroyed || !alive)
    return leave(context, -1);
  count = context->fd_count;
  /* A copy, as the array changes while the vhosts are called. */
  ready = malloc((count + 1) * sizeof *ready);
  if (ready == NULL)
    return leave(context, -1);
  memcpy(ready, context->fds, count * sizeof *ready);
  if (poll(ready, (nfds_t)count, timeout_ms < 0 ? 0 : least_timeout(context)) > 0)
    for (at = 0; at < count && !context->destroyed; at++)
      if (ready[at].revents)
        give_ready(context, &ready[at]);
  free(ready);
  if (!context->destroyed)
    dispatch(context);
  return leave(context, 0);
}

int lws_service_tsi(struct lws_context *context, int timeout_ms, int tsi) {
  return tsi == 0 ? lws_service(context, timeout_ms) : -1;
}

int lws_service_fd(struct lws_context *context, struct lws_pollfd *pollfd) {
  if (context == NULL)
    return -1;
  context->depth++;
  if (pollfd && pollfd->revents)
    give_ready(context, pollfd);
  if (!context->destroyed)
    dispatch(context);
  return leave(context, 0);
}

int lws_service_fd_tsi(struct lws_context *context, struct lws_pollfd *pollfd, int tsi) {
  return tsi == 0 ? lws_service_fd(context, pollfd) : -1;
}

int lws_service_adjust_timeout(struct lws_context *context, int timeout_ms, int tsi) {
  int least = least_timeout(context);
  (void)tsi;
  return least >= 0 && (timeout_ms < 0 || least < timeout_ms) ? least : timeout_ms;
}

static void on_cancelled(lwx_service *service, void *user) {
  (void)service;
  call_protocols(user, LWS_CALLBACK_EVENT_WAIT_CANCELLED, NULL);
}

void lws_cancel_service(struct lws_context *context) {
  struct lws_vhost *vhost;
  for (vhost = context->vhosts; vhost; vhost = vhost->next)
    lwx_poster_post(vhost->poster, on_cancelled, vhost, NULL);
}

void lws_cancel_service_pt(struct lws *wsi) {
  lws_cancel_service(wsi->vhost->context);
}

lws_usec_t lws_now_usecs(void) {
  return (lws_usec_t)lwx_now_us();
}

static void on_sul(lwx_service *service, lwx_key timer, void *user) {
  lws_sorted_usec_list_t *sul = user;
  (void)service;
  (void)timer;
  sul->timer = 0;
  sul->cb(sul);
}

void lws_sul_schedule(struct lws_context *context, int tsi, lws_sorted_usec_list_t *sul, sul_cb_t cb, lws_usec_t us) {
  lwx_service *service;
  (void)tsi;
  if (context->vhosts == NULL)
    return;
  service = context->vhosts->service;
  if (sul->timer)
    lwx_timer_cancel(service, sul->timer);
  sul->timer = 0;
  sul->cb = cb;
  if (us == LWS_SET_TIMER_USEC_CANCEL)
    return;
  sul->us = lws_now_usecs() + us;
  lwx_timer_set(service, (uint64_t)sul->us, on_sul, sul, NULL, &sul->timer);
}
