/* A program with a loop of libuv, a timer and a pipe of its own, that has our server on its loop for a while.
 *
 * The loop runs alone, then with the server while peers in a thread of their own want their bytes back, then alone again.
 * In the end it has no handle that is not the program's, and closes. Many times; every other time the server ends inside a
 * callback of the program; and first of all with too few descriptors, so that the start fails at each of its steps. */

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

void *server_begin(uv_loop_t *loop);
int server_port(const void *server);
uint64_t server_received(const void *server);
void server_end(void *server, void (*done)(void *), void *argument);

#define CHECK(condition)                                                                   \
  do {                                                                                     \
    if (!(condition)) {                                                                    \
      fprintf(stderr, "FAIL %s:%d: %s\n", __FILE__, __LINE__, #condition);                 \
      exit(1);                                                                             \
    }                                                                                      \
  } while (0)

enum { PEERS = 4, ROUNDS_OF_PEER = 8, BYTES = 200000, TICKS_ALONE = 3 };

struct program {
  uv_loop_t loop;
  uv_timer_t timer;
  uv_pipe_t in, out;
  unsigned ticks, piped, ticks_until;
  void *server;
  atomic_int peers_left;
  int ends_in_callback, ended;
};

/* The program's own pipe: one byte goes round at each tick. */
static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf) {
  static char room[64];
  (void)handle, (void)size;
  *buf = uv_buf_init(room, sizeof room);
}

static void on_piped(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  struct program *program = stream->data;
  (void)buf;
  if (n > 0) program->piped += (unsigned)n;
}

static void on_end(void *argument) {
  struct program *program = argument;
  CHECK(!program->ended);
  program->ended = 1;
}

static void end(struct program *program) {
  void *server = program->server;
  program->server = NULL;
  if (server) server_end(server, on_end, program);
}

static void on_tick(uv_timer_t *timer) {
  struct program *program = timer->data;
  uv_buf_t byte = uv_buf_init("x", 1);
  program->ticks++;
  CHECK(uv_try_write((uv_stream_t *)&program->out, &byte, 1) == 1);
  if (program->server && atomic_load(&program->peers_left) == 0) {
    CHECK(server_received(program->server) == (uint64_t)PEERS * ROUNDS_OF_PEER * BYTES);
    if (program->ends_in_callback) end(program);
    uv_stop(&program->loop);
  }
  if (program->ticks_until && program->ticks >= program->ticks_until) uv_stop(&program->loop);
}

static void run_alone(struct program *program) {
  program->ticks_until = program->ticks + TICKS_ALONE;
  uv_run(&program->loop, UV_RUN_DEFAULT);
  CHECK(program->ticks >= program->ticks_until);
  program->ticks_until = 0;
}

static void count(uv_handle_t *handle, void *argument) {
  (void)handle;
  ++*(unsigned *)argument;
}

static unsigned handles(uv_loop_t *loop) {
  unsigned n = 0;
  uv_walk(loop, count, &n);
  return n;
}

struct peer {
  pthread_t thread;
  int port;
  struct program *program;
};

static void *talk(void *argument) {
  struct peer *peer = argument;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)peer->port)};
  struct timeval patience = {.tv_sec = 20};
  static _Thread_local char sent[BYTES], got[BYTES];
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
  CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
  for (int round = 0; round < ROUNDS_OF_PEER; round++) {
    size_t out = 0, in = 0;
    memset(sent, 'a' + round, sizeof sent);
    while (in < sizeof got) {
      ssize_t n = send(fd, sent + out, sizeof sent - out, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n > 0) out += (size_t)n;
      n = recv(fd, got + in, sizeof got - in, out < sizeof sent ? MSG_DONTWAIT : 0);
      CHECK(n != 0 && (n > 0 || out < sizeof sent));
      if (n > 0) in += (size_t)n;
    }
    CHECK(memcmp(sent, got, sizeof got) == 0);
  }
  atomic_fetch_sub(&peer->program->peers_left, 1);
  /* The last one stays connected: the server ends in mid-flight. */
  if (atomic_load(&peer->program->peers_left) == 0) CHECK(recv(fd, got, 1, 0) <= 0);
  close(fd);
  return NULL;
}

static void serve(struct program *program) {
  struct peer peers[PEERS];
  unsigned ticks = program->ticks, piped = program->piped, before = handles(&program->loop);
  atomic_store(&program->peers_left, PEERS);
  program->ended = 0;
  program->server = server_begin(&program->loop);
  CHECK(program->server);
  CHECK(handles(&program->loop) > before);
  for (int i = 0; i < PEERS; i++) {
    peers[i] = (struct peer){.port = server_port(program->server), .program = program};
    CHECK(pthread_create(&peers[i].thread, NULL, talk, &peers[i]) == 0);
  }
  uv_run(&program->loop, UV_RUN_DEFAULT);
  end(program);
  while (!program->ended) uv_run(&program->loop, UV_RUN_NOWAIT);
  for (int i = 0; i < PEERS; i++) CHECK(pthread_join(peers[i].thread, NULL) == 0);
  CHECK(program->ticks > ticks && program->piped > piped);
  CHECK(handles(&program->loop) == before);
}

/* Starts with no descriptor left, then with one more, until it works. */
static void start_short_of_descriptors(struct program *program) {
  struct rlimit whole, few;
  unsigned before = handles(&program->loop);
  int failed = 0, next = dup(0);
  CHECK(next >= 0 && close(next) == 0);
  CHECK(getrlimit(RLIMIT_NOFILE, &whole) == 0);
  for (few = whole, few.rlim_cur = (rlim_t)next;; few.rlim_cur++) {
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    void *server = server_begin(&program->loop);
    CHECK(setrlimit(RLIMIT_NOFILE, &whole) == 0);
    if (server) {
      program->ended = 0;
      server_end(server, on_end, program);
      while (!program->ended) uv_run(&program->loop, UV_RUN_NOWAIT);
      break;
    }
    failed++;
    uv_run(&program->loop, UV_RUN_NOWAIT);
    CHECK(handles(&program->loop) == before);
  }
  CHECK(failed >= 2);
  next = dup(0);
  CHECK(next >= 0 && (rlim_t)next <= few.rlim_cur && close(next) == 0);
}

/* Loses a loop with a server on it. */
static int leak(void) {
  uv_loop_t *loop = malloc(sizeof *loop);
  CHECK(loop && uv_loop_init(loop) == 0);
  CHECK(server_begin(loop));
  return 0;
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "leak") == 0) return leak();
  int rounds = argc > 1 ? atoi(argv[1]) : 10;
  for (int round = 0; round < rounds; round++) {
    static struct program program;
    uv_file pipe[2];
    memset(&program, 0, sizeof program);
    program.ends_in_callback = round % 2;
    CHECK(uv_loop_init(&program.loop) == 0);
    CHECK(uv_pipe(pipe, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE) == 0);
    uv_timer_init(&program.loop, &program.timer);
    uv_pipe_init(&program.loop, &program.in, 0);
    uv_pipe_init(&program.loop, &program.out, 0);
    CHECK(uv_pipe_open(&program.in, pipe[0]) == 0 && uv_pipe_open(&program.out, pipe[1]) == 0);
    program.timer.data = program.in.data = program.out.data = &program;
    CHECK(uv_read_start((uv_stream_t *)&program.in, on_alloc, on_piped) == 0);
    CHECK(uv_timer_start(&program.timer, on_tick, 1, 1) == 0);

    run_alone(&program);
    if (round == 0) start_short_of_descriptors(&program);
    serve(&program);
    run_alone(&program);

    CHECK(handles(&program.loop) == 3);
    uv_close((uv_handle_t *)&program.timer, NULL);
    uv_close((uv_handle_t *)&program.in, NULL);
    uv_close((uv_handle_t *)&program.out, NULL);
    CHECK(uv_run(&program.loop, UV_RUN_DEFAULT) == 0);
    CHECK(uv_loop_close(&program.loop) == 0);
  }
  printf("%d passed, 0 failed\n", rounds);
  return 0;
}
