/* The echo server in a program that forks while it serves, and that closes what it should not.
 *
 *     forking ADDRESS one       the service is one descriptor in the program's epoll; every 20 ms a child is forked
 *     forking ADDRESS each      every descriptor of the service is in the program's epoll, which parent and child share
 *     forking ADDRESS closes    the program closes the service's descriptor, and finds out with the next dispatch
 */
#include "recipe.h"

#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FORKS 20

static int epoll;
static unsigned char watched[65536];

static int32_t control(int what, int32_t fd, uint64_t token, uint32_t events) {
  struct epoll_event event;
  memset(&event, 0, sizeof event);
  event.events = (events & LWX_READ ? EPOLLIN : 0u) | (events & LWX_WRITE ? EPOLLOUT : 0u);
  event.data.u64 = token;
  return epoll_ctl(epoll, what, fd, &event);
}

static int32_t change(void *user, int32_t fd, uint64_t token, uint32_t events) {
  int had;
  (void)user;
  if (fd < 0 || fd >= (int32_t)sizeof watched)
    return -1;
  had = watched[fd];
  watched[fd] = events != 0;
  if (events == 0)
    return had ? control(EPOLL_CTL_DEL, fd, token, 0) : 0;
  return control(had ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, token, events);
}

static void leave(void *user, int32_t fd, uint64_t token) {
  change(user, fd, token, 0);
}

/* What a child does that has more to do than exec(): the service is refused there, and freeing it takes nothing from the parent. */
static int child(lwx_service *service) {
  int refused = lwx_service_dispatch(service) == LWX_E_FORKED;
  lwx_service_free(service);
  return refused ? 0 : 1;
}

static void fork_and_wait(lwx_service *service) {
  int status = 1;
  pid_t id = fork();
  if (id == 0)
    _exit(child(service));
  if (id < 0 || waitpid(id, &status, 0) != id || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    fprintf(stderr, "a child failed: %d\n", status);
    exit(1);
  }
}

static int close_it(lwx_service *service) {
  int32_t code;
  check(lwx_service_dispatch(service), "dispatch");
  close(lwx_service_fd(service));
  code = lwx_service_dispatch(service);
  printf("closed: %s\n", code == LWX_E_SYSTEM ? lwx_last_error() : lwx_strerror(code));
  fflush(stdout);
  lwx_service_free(service);
  return 0;
}

int main(int argc, char **argv) {
  lwx_service *service = echo_start(argc, argv);
  const char *how = argc > 2 ? argv[2] : "one";
  struct epoll_event events[64];
  int each = strcmp(how, "each") == 0, count, at, timeout, forks = 0;
  uint64_t due = lwx_now_us();
  lwx_host host;

  if (strcmp(how, "closes") == 0)
    return close_it(service);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  LWX_INIT(&host);
  host.add = change;
  host.modify = change;
  host.remove = leave;
  if (each)
    check(lwx_service_set_host(service, &host), "host");
  else
    control(EPOLL_CTL_ADD, check(lwx_service_fd(service), "descriptor"), 0, LWX_READ);
  while (check(lwx_service_dispatch(service), "dispatch") > 0) {
    timeout = lwx_service_timeout_ms(service);
    count = epoll_wait(epoll, events, 64, timeout < 0 || timeout > TICK_MS ? TICK_MS : timeout);
    for (at = 0; each && at < count; at++)
      check(lwx_service_ready(service, events[at].data.u64,
                              (events[at].events & EPOLLIN ? LWX_READ : 0u) | (events[at].events & EPOLLOUT ? LWX_WRITE : 0u) |
                                  (events[at].events & EPOLLHUP ? LWX_HANG_UP : 0u) | (events[at].events & EPOLLERR ? LWX_ERROR : 0u)),
            "ready");
    if (lwx_now_us() < due)
      continue;
    recipe_ticks++;
    due = lwx_now_us() + 1000 * TICK_MS;
    if (recipe_ticks % 2 == 0 && forks < FORKS) {
      fork_and_wait(service);
      forks++;
    }
  }
  printf("forks %d\n", forks);
  recipe_end();
  lwx_service_free(service);
  close(epoll);
  return 0;
}
