/* Logs and small helpers that programs use beside connections. */
#include "shim.h"

#include <stdarg.h>

static int log_level = LLL_ERR | LLL_WARN | LLL_NOTICE;
static lws_log_emit_t log_emit = lwsl_emit_stderr;

void lws_set_log_level(int level, lws_log_emit_t emit) {
  log_level = level;
  if (emit)
    log_emit = emit;
}

void lwsl_emit_stderr(int level, const char *line) {
  static const char letters[] = "EWNIDPHXCLUT";
  int at = 0;
  while (at < (int)sizeof letters - 2 && !(level & (1 << at)))
    at++;
  fprintf(stderr, "%c: %s", letters[at], line);
}

void _lws_log(int level, const char *format, ...) {
  char line[1024];
  va_list arguments;
  int size;
  if (!(log_level & level))
    return;
  va_start(arguments, format);
  size = vsnprintf(line, sizeof line - 1, format, arguments);
  va_end(arguments);
  if (size < 0)
    return;
  size = (size_t)size < sizeof line - 1 ? size : (int)sizeof line - 2;
  if (size == 0 || line[size - 1] != '\n') {
    line[size] = '\n';
    line[size + 1] = 0;
  }
  log_emit(level, line);
}

const char *lws_get_library_version(void) {
  return LWS_LIBRARY_VERSION;
}

const char *lws_cmdline_option(int argc, const char **argv, const char *option) {
  size_t length = strlen(option);
  int at;
  for (at = 1; at < argc; at++) {
    if (strncmp(argv[at], option, length) != 0)
      continue;
    /* "-p 80", "-p80", "--port=80", and one that has nothing behind it. */
    if (argv[at][length] == '=')
      return argv[at] + length + 1;
    if (argv[at][length])
      return argv[at] + length;
    return at + 1 < argc ? argv[at + 1] : argv[at] + length;
  }
  return NULL;
}

int lws_snprintf(char *text, size_t size, const char *format, ...) {
  va_list arguments;
  int written;
  if (size == 0)
    return 0;
  va_start(arguments, format);
  written = vsnprintf(text, size, format, arguments);
  va_end(arguments);
  return written < 0 ? 0 : (size_t)written < size ? written : (int)size - 1;
}

char *lws_strncpy(char *to, const char *from, size_t size) {
  if (size > 0) {
    strncpy(to, from, size - 1);
    to[size - 1] = 0;
  }
  return to;
}
