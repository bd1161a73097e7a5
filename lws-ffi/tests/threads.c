/* What more than one thread does with a service, for tools that look for races: posts, publications and ends from threads that come and go, a
 * poster that outlives its service, and a service that is served by one thread after the other. */
#include <lwx.h>

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define THREADS 4
#define POSTS 50

/* What a thread posts: filled on its own, read on that of the service, and freed there. */
struct item {
  int thread;
  int number;
};

/* Only the thread that has the service touches these. */
static int sums[THREADS];
static int received;

static int32_t check(int32_t code, const char *what) {
  if (code < 0) {
    fprintf(stderr, "%s: %s (%s)\n", what, lwx_strerror(code), lwx_last_error());
    exit(1);
  }
  return code;
}

static void take(lwx_service *service, void *user) {
  const struct item *item = (const struct item *)user;
  (void)service;
  sums[item->thread] += item->number;
  received++;
}

static void ignore(lwx_service *service, void *user) {
  (void)service;
  (void)user;
}

struct sender {
  pthread_t id;
  int thread;
  lwx_poster *poster;
};

/* Posts, publishes, and frees its poster while others are at work. */
static void *send_all(void *user) {
  struct sender *sender = (struct sender *)user;
  int number;
  for (number = 1; number <= POSTS; number++) {
    struct item *item = (struct item *)malloc(sizeof *item);
    if (item == NULL)
      exit(1);
    item->thread = sender->thread;
    item->number = number;
    check(lwx_poster_post(sender->poster, take, item, free), "post");
    check(lwx_poster_publish(sender->poster, "items", "one", 3, LWX_TEXT), "publish");
  }
  lwx_poster_free(sender->poster);
  return NULL;
}

/* Posts until the service has gone, which happens meanwhile. */
static void *send_until_gone(void *user) {
  lwx_poster *poster = (lwx_poster *)user;
  int32_t code;
  do {
    code = lwx_poster_post(poster, ignore, malloc(1), free);
    poll(NULL, 0, 1);
  } while (code != LWX_E_GONE);
  check(lwx_poster_stop(poster) == LWX_E_GONE ? 0 : LWX_E_STATE, "stop after the end");
  lwx_poster_free(poster);
  return NULL;
}

static void serve_until(lwx_service *service, int wanted) {
  struct pollfd entry;
  entry.fd = check(lwx_service_fd(service), "descriptor");
  entry.events = POLLIN;
  while (received < wanted && check(lwx_service_dispatch(service), "dispatch") > 0)
    if (received < wanted)
      poll(&entry, 1, lwx_service_timeout_ms(service));
}

/* A second thread has the service for the second half. */
static void *serve_rest(void *user) {
  lwx_service *service = (lwx_service *)user;
  while (lwx_service_enter_thread(service) == LWX_E_THREAD)
    poll(NULL, 0, 1);
  serve_until(service, THREADS * POSTS);
  check(lwx_service_leave_thread(service), "leave");
  return NULL;
}

int main(void) {
  lwx_service *service;
  lwx_handler handler;
  struct sender senders[THREADS];
  lwx_poster *last;
  pthread_t server, late;
  int at, wrong = 0;

  LWX_INIT(&handler);
  check(lwx_service_new(NULL, &service), "service");
  check(lwx_listen(service, "127.0.0.1:0", NULL, NULL), "listen");
  check(lwx_route(service, LWX_ROUTE_WEBSOCKET, "/", &handler), "route");
  check(lwx_service_start(service), "start");
  check(lwx_poster_new(service, &last), "poster");
  for (at = 0; at < THREADS; at++) {
    senders[at].thread = at;
    check(lwx_poster_new(service, &senders[at].poster), "poster");
  }
  pthread_create(&server, NULL, serve_rest, service);
  for (at = 0; at < THREADS; at++)
    pthread_create(&senders[at].id, NULL, send_all, &senders[at]);
  serve_until(service, THREADS * POSTS / 2);
  check(lwx_service_leave_thread(service), "leave");
  for (at = 0; at < THREADS; at++)
    pthread_join(senders[at].id, NULL);
  pthread_join(server, NULL);

  check(lwx_service_enter_thread(service), "enter");
  pthread_create(&late, NULL, send_until_gone, last);
  lwx_service_free(service);
  pthread_join(late, NULL);
  for (at = 0; at < THREADS; at++)
    wrong += sums[at] != POSTS * (POSTS + 1) / 2;
  printf("%d posts of %d threads, %d wrong\n", received, THREADS, wrong);
  return wrong ? 1 : 0;
}
