/* What the compiled part of Rust's standard library synchronises, in ThreadSanitizer's words. The library that is tested is instrumented, with
 * all that it inlines of std; what std brings compiled is not, so that two edges would be missing, and every use of a contended lock and every last
 * count of an Arc be reported. `scripts/steps/races` links these in between by `--wrap`; nothing is suppressed. */

void __tsan_acquire(void *address);

#define JOINED(a, b) a##b
#define JOIN(a, b) JOINED(a, b)

/* Mutex::lock() where another thread has it: it waits and takes the lock inside std. How it is let go is inlined, and seen. */
void JOIN(__real_, LOCK_CONTENDED)(void *mutex);
void JOIN(__wrap_, LOCK_CONTENDED)(void *mutex) {
  JOIN(__real_, LOCK_CONTENDED)(mutex);
  __tsan_acquire(mutex);
}

/* The last count of an Arc: a release by each that lets go, and a fence by the last one, which ThreadSanitizer does not know. It acquires what
 * it has counted down, as std does where it is compiled for the sanitizer. Nothing else counts down to zero and goes on. */
unsigned long __real___tsan_atomic64_fetch_sub(volatile unsigned long *count, unsigned long by, int order);
unsigned long __wrap___tsan_atomic64_fetch_sub(volatile unsigned long *count, unsigned long by, int order) {
  unsigned long before = __real___tsan_atomic64_fetch_sub(count, by, order);
  if (before == by)
    __tsan_acquire((void *)count);
  return before;
}
