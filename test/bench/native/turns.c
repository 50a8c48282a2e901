/*
 * Measures a Node process from inside, given to it by --require: the longest turn of its event loop in CPU time of the loop's
 * thread, nanoseconds, as one uint64 in the file that WEFT_BENCH_TURNS names. Whoever reads it may set it to 0. From one
 * preparation to wait to the next is a turn; waiting itself costs no CPU time.
 */
#include <fcntl.h>
#include <node_api.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

static volatile uint64_t *longest;
static uint64_t before;
static uv_prepare_t prepare;

static void turn(uv_prepare_t *handle) {
  struct timespec t;
  (void)handle;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  uint64_t now = (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
  if (before != 0 && now - before > *longest) *longest = now - before;
  before = now;
}

NAPI_MODULE_INIT() {
  const char *path = getenv("WEFT_BENCH_TURNS");
  uv_loop_t *loop;
  if (path == NULL || napi_get_uv_event_loop(env, &loop) != napi_ok) return exports;
  int file = open(path, O_RDWR);
  if (file < 0) return exports;
  longest = mmap(NULL, sizeof *longest, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (longest == MAP_FAILED) return exports;
  uv_prepare_init(loop, &prepare);
  uv_prepare_start(&prepare, turn);
  uv_unref((uv_handle_t *)&prepare);
  return exports;
}
