/* Races that are made on purpose, for ThreadSanitizer to find: each is a mistake of a program that has to be seen inside the library. The
 * argument names one. That `threads.c` is silent means something only beside these. */
#include <lwx.h>
#include <lwx_engine.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static int32_t check(int32_t code, const char *what) {
  if (code < 0) {
    fprintf(stderr, "%s: %s (%s)\n", what, lwx_strerror(code), lwx_last_error());
    exit(1);
  }
  return code;
}

static lwx_poster *poster;
static lwx_conn *conn;
static char bytes[] = "one";
static int first_is_done;

/* Orders the two threads without making what the first has done visible to the second: both work, and nothing is torn. */
static void announce(void) {
  __atomic_store_n(&first_is_done, 1, __ATOMIC_RELAXED);
}

static void wait_for_first(void) {
  while (!__atomic_load_n(&first_is_done, __ATOMIC_RELAXED))
    ;
}

static void ignore(lwx_service *service, void *user) {
  (void)service;
  (void)user;
}

/* Bytes that the library reads while another thread writes to them. */
static void *publish(void *user) {
  (void)user;
  check(lwx_poster_publish(poster, "items", bytes, 3, LWX_TEXT), "publish");
  announce();
  return NULL;
}

static void *write_bytes(void *user) {
  (void)user;
  wait_for_first();
  bytes[0] = 'O';
  return NULL;
}

/* A poster that is freed while another thread may be in a call on it. */
static void *post(void *user) {
  (void)user;
  check(lwx_poster_post(poster, ignore, NULL, NULL), "post");
  announce();
  return NULL;
}

static void *free_poster(void *user) {
  (void)user;
  wait_for_first();
  lwx_poster_free(poster);
  poster = NULL;
  return NULL;
}

/* A connection of the engine that two threads use: nothing in it is for that. */
static void receive(const char *text) {
  size_t taken;
  check(lwx_conn_receive(conn, 1, (const uint8_t *)text, strlen(text), &taken), "receive");
}

static void *receive_first(void *user) {
  (void)user;
  receive("GET / HTTP/1.1\r\n");
  announce();
  return NULL;
}

static void *receive_second(void *user) {
  (void)user;
  wait_for_first();
  receive("Host: localhost\r\n\r\n");
  return NULL;
}

static const struct race {
  const char *name;
  void *(*first)(void *user);
  void *(*second)(void *user);
} races[] = {{"bytes", publish, write_bytes}, {"poster", post, free_poster}, {"connection", receive_first, receive_second}};

int main(int argc, char **argv) {
  const struct race *race = NULL;
  lwx_service *service;
  pthread_t first, second;
  size_t at;

  for (at = 0; at < sizeof races / sizeof *races; at++)
    if (argc > 1 && strcmp(argv[1], races[at].name) == 0)
      race = &races[at];
  if (race == NULL) {
    fprintf(stderr, "races bytes|poster|connection\n");
    return 2;
  }
  check(lwx_service_new(NULL, &service), "service");
  check(lwx_service_start(service), "start");
  check(lwx_poster_new(service, &poster), "poster");
  check(lwx_conn_new(NULL, 0, &conn), "connection");
  pthread_create(&first, NULL, race->first, NULL);
  pthread_create(&second, NULL, race->second, NULL);
  pthread_join(first, NULL);
  pthread_join(second, NULL);
  lwx_poster_free(poster);
  lwx_conn_free(conn);
  lwx_service_free(service);
  return 0;
}
