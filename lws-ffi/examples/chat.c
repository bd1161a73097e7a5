/* A chat: everyone who is connected to /chat/{room} gets what anyone there writes. A thread of the program posts the time to every room, and
 * a timer counts those who are connected. */
#include "common.h"

#include <pthread.h>
#include <time.h>

static void topic_of(lwx_service *service, lwx_key key, char topic[80]) {
  lwx_str room;
  if (lwx_get_parameter(service, key, "room", &room) != 1 || room.size > 64)
    room = lwx_text("lobby");
  snprintf(topic, 80, "room/%.*s", (int)room.size, room.data);
}

/* The room is known while the opening handshake is lent, and is wanted later. */
static int32_t on_accept(lwx_service *service, lwx_key key, void *user) {
  char *topic = malloc(80);
  (void)user;
  if (topic == NULL)
    return 503;
  topic_of(service, key, topic);
  lwx_set_user(service, key, topic, free);
  return strchr(topic, '#') || strchr(topic, '+') ? 403 : 0;
}

static void on_open(lwx_service *service, lwx_key key, void *user) {
  check(lwx_subscribe(service, key, user), "subscribe");
  check(lwx_subscribe(service, key, "everyone"), "subscribe");
}

static void on_chat(lwx_service *service, lwx_key key, const uint8_t *bytes, size_t size, uint32_t flags, void *user) {
  (void)key;
  check(lwx_publish(service, user, bytes, size, flags & LWX_TEXT), "publish");
}

static void count(lwx_service *service, lwx_key timer, void *user) {
  lwx_service_stats stats;
  char text[64];
  (void)timer;
  (void)user;
  LWX_INIT(&stats);
  check(lwx_service_get_stats(service, &stats), "stats");
  snprintf(text, sizeof text, "%lu connected", (unsigned long)stats.websockets);
  check(lwx_publish(service, "everyone", text, strlen(text), LWX_TEXT), "publish");
  check(lwx_timer_set(service, lwx_now_us() + 500000, count, NULL, NULL, NULL), "timer");
}

static void greet(lwx_service *service, void *user) {
  const char *text = user;
  check(lwx_publish(service, "everyone", text, strlen(text), LWX_TEXT), "publish");
}

static void *other_thread(void *user) {
  lwx_poster *poster = user;
  struct timespec pause = {0, 100000000};
  char *text;
  for (;;) {
    nanosleep(&pause, NULL);
    text = malloc(32);
    if (text == NULL)
      break;
    strcpy(text, "from another thread");
    /* It belongs to the service from here on. */
    if (lwx_poster_post(poster, greet, text, free) < 0)
      break;
  }
  lwx_poster_free(poster);
  return NULL;
}

int main(int argc, char **argv) {
  lwx_service *service;
  lwx_poster *poster;
  lwx_handler chat;
  pthread_t thread;

  LWX_INIT(&chat);
  chat.accept = on_accept;
  chat.open = on_open;
  chat.data = on_chat;
  check(lwx_service_new(NULL, &service), "service");
  check(lwx_listen(service, argc > 1 ? argv[1] : "127.0.0.1:7681", NULL, NULL), "listen");
  check(lwx_route(service, LWX_ROUTE_WEBSOCKET, "/chat/{room}", &chat), "/chat");
  serve_stop(service);
  start(service);
  check(lwx_timer_set(service, lwx_now_us() + 500000, count, NULL, NULL, NULL), "timer");
  check(lwx_poster_new(service, &poster), "poster");
  if (pthread_create(&thread, NULL, other_thread, poster) != 0)
    return 1;
  check(lwx_service_run(service), "run");
  lwx_service_free(service);
  pthread_join(thread, NULL);
  return 0;
}
