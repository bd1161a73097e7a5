/* What a request costs libcurl's multi interface: multi VERSION BATCHES EACH URL, as `load ask` does with our client.
 *
 * Prints the CPU time of this process for one request, in microseconds, user and system. The waits are curl_multi_poll's, which is epoll's
 * counterpart for few sockets; the first batch is not counted. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct response {
  char *bytes;
  size_t length;
};

/* Gathers the content, as the other client does. */
static size_t take(char *data, size_t size, size_t count, void *into) {
  struct response *response = into;
  size_t length = size * count;
  char *bytes = realloc(response->bytes, response->length + length);
  if (!bytes)
    return 0;
  memcpy(bytes + response->length, data, length);
  response->bytes = bytes;
  response->length += length;
  return length;
}

static void fail(const char *what) {
  fprintf(stderr, "multi: %s\n", what);
  exit(1);
}

static void batch(CURLM *multi, CURL **handles, struct response *responses, int count) {
  for (int n = 0; n < count; n++) {
    free(responses[n].bytes);
    responses[n].bytes = NULL;
    responses[n].length = 0;
    curl_multi_add_handle(multi, handles[n]);
  }
  int running, left = count;
  do {
    if (curl_multi_perform(multi, &running) != CURLM_OK)
      fail("perform");
    CURLMsg *message;
    int queued;
    while ((message = curl_multi_info_read(multi, &queued))) {
      long status = 0;
      curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
      if (message->data.result != CURLE_OK || status != 200)
        fail(curl_easy_strerror(message->data.result));
      curl_multi_remove_handle(multi, message->easy_handle);
      left--;
    }
    if (left > 0)
      curl_multi_poll(multi, NULL, 0, 1000, NULL);
  } while (left > 0);
}

static double own_seconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  if (argc != 5)
    fail("VERSION BATCHES EACH URL");
  int http2 = strcmp(argv[1], "2") == 0, batches = atoi(argv[2]), each = atoi(argv[3]);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  CURLM *multi = curl_multi_init();
  CURL **handles = calloc(each, sizeof *handles);
  struct response *responses = calloc(each, sizeof *responses);
  curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
  curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, http2 ? 1L : 6L);
  for (int n = 0; n < each; n++) {
    handles[n] = curl_easy_init();
    curl_easy_setopt(handles[n], CURLOPT_URL, argv[4]);
    /* By ALPN: with prior knowledge libcurl 7.88 cannot use a connection a second time. */
    curl_easy_setopt(handles[n], CURLOPT_HTTP_VERSION, http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(handles[n], CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(handles[n], CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(handles[n], CURLOPT_PIPEWAIT, 1L);
    curl_easy_setopt(handles[n], CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(handles[n], CURLOPT_WRITEDATA, &responses[n]);
  }
  batch(multi, handles, responses, each);
  double before = own_seconds();
  for (int n = 0; n < batches; n++)
    batch(multi, handles, responses, each);
  printf("%.3f\n", (own_seconds() - before) / batches / each * 1e6);
  return 0;
}
