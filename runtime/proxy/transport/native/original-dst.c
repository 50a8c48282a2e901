/*
 * What Node lacks: getsockopt(SO_ORIGINAL_DST), where a connection was going before iptables redirected it.
 *
 *   originalDestination(fd, out) -> length of the address written (4 or 16; the port follows, big-endian), or -errno
 *   setUserTimeout(fd, milliseconds) -> 0, or -errno
 *   collectGarbage() -> whether it could: a last-resort collection, then what the C library keeps free goes to the kernel
 *
 * Freestanding: it asks the kernel itself and needs nothing of a C library, so that one file serves glibc and musl.
 */
#include <node_api.h>

/*
 * v8::Isolate::GetCurrent, ::LowMemoryNotification and v8::V8::SetFlagsFromString: public and exported for addons, and without a C
 * interface. Weak: where one is missing the addon loads all the same. `--expose-gc` would do too, but with it V8 rejects the code cache inside Node's binary:
 * 20 ms of the start and 0.6 MiB for good. malloc_trim is glibc's alone.
 */
extern void *_ZN2v87Isolate10GetCurrentEv(void) __attribute__((weak));
extern void _ZN2v87Isolate21LowMemoryNotificationEv(void *) __attribute__((weak));
extern void _ZN2v82V818SetFlagsFromStringEPKc(const char *) __attribute__((weak));
extern int malloc_trim(size_t) __attribute__((weak));

#define SOL_SOCKET_ 1
#define SO_DOMAIN_ 39
#define AF_INET6_ 10
#define SOL_IP_ 0
#define SOL_TCP_ 6
#define TCP_USER_TIMEOUT_ 18
#define SOL_IPV6_ 41
#define SO_ORIGINAL_DST_ 80
#define IP6T_SO_ORIGINAL_DST_ 80

static long get_option(int fd, int level, int name, void *value, unsigned *length) {
#if defined(__x86_64__)
  register long result __asm__("rax") = 55; /* getsockopt */
  register long a __asm__("rdi") = fd;
  register long b __asm__("rsi") = level;
  register long c __asm__("rdx") = name;
  register void *d __asm__("r10") = value;
  register unsigned *e __asm__("r8") = length;
  __asm__ volatile("syscall" : "+r"(result) : "r"(a), "r"(b), "r"(c), "r"(d), "r"(e) : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long number __asm__("x8") = 209; /* getsockopt */
  register long result __asm__("x0") = fd;
  register long b __asm__("x1") = level;
  register long c __asm__("x2") = name;
  register void *d __asm__("x3") = value;
  register unsigned *e __asm__("x4") = length;
  __asm__ volatile("svc #0" : "+r"(result) : "r"(number), "r"(b), "r"(c), "r"(d), "r"(e) : "memory");
  return result;
#else
#error "no system call for this architecture"
#endif
}

static long set_option(int fd, int level, int name, const void *value, unsigned length) {
#if defined(__x86_64__)
  register long result __asm__("rax") = 54; /* setsockopt */
  register long a __asm__("rdi") = fd;
  register long b __asm__("rsi") = level;
  register long c __asm__("rdx") = name;
  register const void *d __asm__("r10") = value;
  register unsigned long e __asm__("r8") = length;
  __asm__ volatile("syscall" : "+r"(result) : "r"(a), "r"(b), "r"(c), "r"(d), "r"(e) : "rcx", "r11", "memory");
  return result;
#else
  register long number __asm__("x8") = 208; /* setsockopt */
  register long result __asm__("x0") = fd;
  register long b __asm__("x1") = level;
  register long c __asm__("x2") = name;
  register const void *d __asm__("x3") = value;
  register unsigned long e __asm__("x4") = length;
  __asm__ volatile("svc #0" : "+r"(result) : "r"(number), "r"(b), "r"(c), "r"(d), "r"(e) : "memory");
  return result;
#endif
}

static void copy(unsigned char *to, const unsigned char *from, unsigned count) {
  for (unsigned i = 0; i < count; i++) to[i] = from[i];
}

static int original_destination(int fd, unsigned char *out) {
  unsigned char address[28]; /* sockaddr_in6 */
  int family = 0;
  unsigned length = sizeof family;
  long failed = get_option(fd, SOL_SOCKET_, SO_DOMAIN_, &family, &length);
  if (failed < 0) return (int)failed;
  if (family == AF_INET6_) {
    length = sizeof address;
    if (get_option(fd, SOL_IPV6_, IP6T_SO_ORIGINAL_DST_, address, &length) == 0) {
      copy(out, address + 8, 16);
      copy(out + 16, address + 2, 2);
      return 16;
    }
  }
  /* An IPv6 socket can carry an IPv4 connection. */
  length = 16; /* sockaddr_in */
  failed = get_option(fd, SOL_IP_, SO_ORIGINAL_DST_, address, &length);
  if (failed < 0) return (int)failed;
  copy(out, address + 4, 4);
  copy(out + 4, address + 2, 2);
  return 4;
}

static napi_value call(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2], result;
  int32_t fd = -1;
  void *out = 0;
  size_t length = 0;
  napi_get_cb_info(env, info, &count, arguments, 0, 0);
  if (count < 2 || napi_get_value_int32(env, arguments[0], &fd) != napi_ok ||
      napi_get_buffer_info(env, arguments[1], &out, &length) != napi_ok || length < 18) {
    napi_throw_type_error(env, 0, "originalDestination(fd: number, out: Buffer of 18 bytes)");
    return 0;
  }
  napi_create_int32(env, original_destination(fd, out), &result);
  return result;
}

static napi_value set_user_timeout(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2], result;
  int32_t fd = -1;
  uint32_t milliseconds = 0;
  napi_get_cb_info(env, info, &count, arguments, 0, 0);
  if (count < 2 || napi_get_value_int32(env, arguments[0], &fd) != napi_ok ||
      napi_get_value_uint32(env, arguments[1], &milliseconds) != napi_ok) {
    napi_throw_type_error(env, 0, "setUserTimeout(fd: number, milliseconds: number)");
    return 0;
  }
  long failed = set_option(fd, SOL_TCP_, TCP_USER_TIMEOUT_, &milliseconds, sizeof milliseconds);
  napi_create_int32(env, (int32_t)failed, &result);
  return result;
}

static napi_value collect(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value result;
  int able = _ZN2v87Isolate10GetCurrentEv != 0 && _ZN2v87Isolate21LowMemoryNotificationEv != 0;
  if (able) {
    /* Bytecode goes too: it is compiled again when it is next run. */
    if (_ZN2v82V818SetFlagsFromStringEPKc != 0) _ZN2v82V818SetFlagsFromStringEPKc("--stress-flush-code");
    _ZN2v87Isolate21LowMemoryNotificationEv(_ZN2v87Isolate10GetCurrentEv());
    if (_ZN2v82V818SetFlagsFromStringEPKc != 0) _ZN2v82V818SetFlagsFromStringEPKc("--no-stress-flush-code");
    if (malloc_trim != 0) malloc_trim(0);
  }
  napi_get_boolean(env, able, &result);
  return result;
}

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "originalDestination", NAPI_AUTO_LENGTH, call, 0, &function);
  napi_set_named_property(env, exports, "originalDestination", function);
  napi_create_function(env, "setUserTimeout", NAPI_AUTO_LENGTH, set_user_timeout, 0, &function);
  napi_set_named_property(env, exports, "setUserTimeout", function);
  napi_create_function(env, "collectGarbage", NAPI_AUTO_LENGTH, collect, 0, &function);
  napi_set_named_property(env, exports, "collectGarbage", function);
  return exports;
}
