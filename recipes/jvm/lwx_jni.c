/* The native half of Echo.java. */
#include "recipe.h"

#include <jni.h>
#include <poll.h>

struct hosted {
  lwx_service *service;
  lwx_poster *poster;
  /* Of the thread that serves, during a call of its. */
  JNIEnv *env;
  jobject self;
  jmethodID on_message;
};

static struct hosted *of(jlong handle) {
  return (struct hosted *)(intptr_t)handle;
}

/* Hands a message to Java, and sends back what that answers. */
static void on_java_message(lwx_service *service, lwx_key key, const uint8_t *bytes, size_t size, uint32_t flags, void *user) {
  struct hosted *hosted = user;
  JNIEnv *env = hosted->env;
  jbyteArray message = (*env)->NewByteArray(env, (jsize)size), reply;
  if (message == NULL) {
    (*env)->ExceptionClear(env);
    lwx_abort(service, key);
    return;
  }
  (*env)->SetByteArrayRegion(env, message, 0, (jsize)size, (const jbyte *)bytes);
  reply = (*env)->CallObjectMethod(env, hosted->self, hosted->on_message, message, (jboolean)((flags & LWX_TEXT) != 0));
  if ((*env)->ExceptionCheck(env)) {
    /* What a handler throws ends its stream and nothing else. */
    (*env)->ExceptionDescribe(env);
    (*env)->ExceptionClear(env);
    lwx_close(service, key, 1011, NULL, 0);
  } else if (reply != NULL) {
    jbyte *content = (*env)->GetByteArrayElements(env, reply, NULL);
    if (content != NULL) {
      on_message(service, key, (const uint8_t *)content, (size_t)(*env)->GetArrayLength(env, reply), flags, NULL);
      (*env)->ReleaseByteArrayElements(env, reply, content, JNI_ABORT);
    }
    (*env)->DeleteLocalRef(env, reply);
  }
  /* A native call that never returns would keep every reference. */
  (*env)->DeleteLocalRef(env, message);
}

static void on_news_open(lwx_service *service, lwx_key key, void *user) {
  (void)user;
  lwx_subscribe(service, key, "news");
}

JNIEXPORT jlong JNICALL Java_Echo_open(JNIEnv *env, jobject self, jstring address) {
  struct hosted *hosted = calloc(1, sizeof *hosted);
  const char *text = (*env)->GetStringUTFChars(env, address, NULL);
  lwx_handler echo, page, news;

  if (hosted == NULL || text == NULL)
    return 0;
  hosted->on_message = (*env)->GetMethodID(env, (*env)->GetObjectClass(env, self), "onMessage", "([BZ)[B");
  LWX_INIT(&echo);
  echo.data = on_java_message;
  echo.writable = on_writable;
  echo.user = hosted;
  LWX_INIT(&page);
  page.request = on_page;
  LWX_INIT(&news);
  news.open = on_news_open;
  check(lwx_service_new(NULL, &hosted->service), "service");
  check(lwx_listen(hosted->service, text, NULL, NULL), "listen");
  (*env)->ReleaseStringUTFChars(env, address, text);
  check(lwx_route(hosted->service, LWX_ROUTE_WEBSOCKET, "/echo", &echo), "/echo");
  check(lwx_route(hosted->service, LWX_ROUTE_WEBSOCKET, "/news", &news), "/news");
  check(lwx_route(hosted->service, LWX_ROUTE_HTTP, "/", &page), "/");
  serve_stop(hosted->service);
  start(hosted->service);
  check(lwx_poster_new(hosted->service, &hosted->poster), "poster");
  return (jlong)(intptr_t)hosted;
}

JNIEXPORT void JNICALL Java_Echo_serve(JNIEnv *env, jobject self, jlong handle) {
  struct hosted *hosted = of(handle);
  struct pollfd wait;

  hosted->env = env;
  hosted->self = self;
  wait.fd = check(lwx_service_fd(hosted->service), "descriptor");
  wait.events = POLLIN;
  while (check(lwx_service_dispatch(hosted->service), "dispatch") > 0)
    poll(&wait, 1, lwx_service_timeout_ms(hosted->service));
}

JNIEXPORT void JNICALL Java_Echo_publish(JNIEnv *env, jobject self, jlong handle, jbyteArray text) {
  jbyte *bytes = (*env)->GetByteArrayElements(env, text, NULL);
  (void)self;
  if (bytes == NULL)
    return;
  /* LWX_E_LIMIT if the service does not keep up, and LWX_E_GONE at its end: news is lost then. */
  lwx_poster_publish(of(handle)->poster, "news", bytes, (size_t)(*env)->GetArrayLength(env, text), LWX_TEXT);
  (*env)->ReleaseByteArrayElements(env, text, bytes, JNI_ABORT);
}

JNIEXPORT void JNICALL Java_Echo_close(JNIEnv *env, jobject self, jlong handle) {
  (void)env;
  (void)self;
  lwx_poster_free(of(handle)->poster);
  lwx_service_free(of(handle)->service);
  free(of(handle));
}
