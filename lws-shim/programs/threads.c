/* Two threads make messages; only the one of the service touches the library, and is woken for that. */
#include "common.h"

#include <pthread.h>
#include <unistd.h>

#define MESSAGES 8

struct item {
  char text[64];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct item items[1024];
static unsigned int made;
static struct lws_context *context;
static const struct lws_protocols *protocol;

struct session {
  unsigned int taken;
};

static void *make(void *user) {
  int number;
  for (number = 0; number < MESSAGES && !interrupted; number++) {
    pthread_mutex_lock(&lock);
    lws_snprintf(items[made++].text, sizeof items[0].text, "%s %d", (const char *)user, number);
    pthread_mutex_unlock(&lock);
    lws_cancel_service(context);
    usleep(2000);
  }
  return NULL;
}

static int write_next(struct lws *wsi, struct session *session) {
  unsigned char buffer[LWS_PRE + 64];
  size_t size = 0;
  int more = 0;
  pthread_mutex_lock(&lock);
  if (session->taken < made) {
    size = strlen(items[session->taken].text);
    memcpy(&buffer[LWS_PRE], items[session->taken++].text, size);
    more = session->taken < made;
  }
  pthread_mutex_unlock(&lock);
  if (size > 0 && lws_write(wsi, &buffer[LWS_PRE], size, LWS_WRITE_TEXT) < (int)size)
    return -1;
  if (more)
    lws_callback_on_writable(wsi);
  return 0;
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
  switch (reason) {
  case LWS_CALLBACK_PROTOCOL_INIT:
    protocol = lws_get_protocol(wsi);
    return 0;
  case LWS_CALLBACK_ESTABLISHED:
    lws_callback_on_writable(wsi);
    return 0;
  case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
    lws_callback_on_writable_all_protocol(context, protocol);
    return 0;
  case LWS_CALLBACK_SERVER_WRITEABLE:
    return write_next(wsi, user);
  default:
    return lws_callback_http_dummy(wsi, reason, user, in, len);
  }
}

int main(int argc, char **argv) {
  static const struct lws_protocols protocols[] = {{"items", callback, sizeof(struct session), 128, 0, NULL, 0},
                                                   {NULL, NULL, 0, 0, 0, NULL, 0}};
  struct lws_context_creation_info info;
  pthread_t threads[2];
  int status;
  prepare(&info, argc, argv);
  info.protocols = protocols;
  context = lws_create_context(&info);
  if (context == NULL)
    return 1;
  pthread_create(&threads[0], NULL, make, "first");
  pthread_create(&threads[1], NULL, make, "second");
  while (!interrupted && lws_service(context, 0) >= 0)
    ;
  pthread_join(threads[0], NULL);
  pthread_join(threads[1], NULL);
  status = made == 2 * MESSAGES ? 0 : 1;
  lws_context_destroy(context);
  return status;
}
