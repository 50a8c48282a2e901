/* What the load and the server behind the proxies share: growing buffers, HTTP/2's frames, a clock. */
#ifndef WEFT_BENCH_COMMON_H
#define WEFT_BENCH_COMMON_H
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, PING = 6, GOAWAY = 7, WINDOW_UPDATE = 8 };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };
#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define PREFACE_LENGTH 24
#define MESSAGE_LENGTH 133 /* of gRPC: five bytes of prefix, 128 of payload */
#define ECHO_LENGTH 256

static inline void die(const char *what) {
  fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
  exit(1);
}

static inline uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

struct buffer {
  unsigned char *bytes;
  size_t start, end, capacity;
};

static inline size_t held(const struct buffer *b) { return b->end - b->start; }

static inline unsigned char *room(struct buffer *b, size_t length) {
  if (b->start == b->end) b->start = b->end = 0;
  if (b->capacity - b->end < length && b->start > 0) {
    memmove(b->bytes, b->bytes + b->start, held(b));
    b->end -= b->start;
    b->start = 0;
  }
  if (b->capacity - b->end < length) {
    b->capacity = (b->end + length) * 2;
    b->bytes = realloc(b->bytes, b->capacity);
    if (b->bytes == NULL) die("out of memory");
  }
  return b->bytes + b->end;
}

static inline void put(struct buffer *b, const void *bytes, size_t length) {
  memcpy(room(b, length), bytes, length);
  b->end += length;
}

static inline uint32_t read_u32(const unsigned char *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void put_frame(struct buffer *b, int type, int flags, uint32_t stream, const void *payload, size_t length) {
  unsigned char head[9] = {length >> 16, length >> 8, length, type, flags, stream >> 24, stream >> 16, stream >> 8, stream};
  put(b, head, 9);
  put(b, payload, length);
}

static inline void put_u32_frame(struct buffer *b, int type, uint32_t stream, uint32_t value) {
  unsigned char payload[4] = {value >> 24, value >> 16, value >> 8, value};
  put_frame(b, type, 0, stream, payload, 4);
}

/* Settings of a side that never wants to stop the other one: the largest windows there are. */
static inline void put_settings(struct buffer *b) {
  static const unsigned char settings[] = {0, 4, 0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0, 4, 0};
  put_frame(b, SETTINGS, 0, 0, settings, sizeof settings);
  put_u32_frame(b, WINDOW_UPDATE, 0, 0x7fffffff - 65535);
}

/* The connection's window again, a mebibyte at a time. */
static inline void give_back(struct buffer *b, uint32_t *taken, size_t length) {
  *taken += (uint32_t)length;
  if (*taken < 1 << 20) return;
  put_u32_frame(b, WINDOW_UPDATE, 0, *taken);
  *taken = 0;
}

/* A field of HPACK: literal, `indexing` keeps it in the dynamic table (RFC 7541, 6.2). All strings are short, none is Huffman's. */
static inline void put_field(struct buffer *b, int indexing, const char *name, const char *value) {
  unsigned char kind = indexing ? 0x40 : 0x00, length = (unsigned char)strlen(name);
  put(b, &kind, 1);
  put(b, &length, 1);
  put(b, name, length);
  length = (unsigned char)strlen(value);
  put(b, &length, 1);
  put(b, value, length);
}

/* The other side's settings, as far as they bind: whether its decoder keeps a table of the usual size. */
static inline int keeps_table(const unsigned char *payload, size_t length) {
  for (size_t at = 0; at + 6 <= length; at += 6)
    if (payload[at] == 0 && payload[at + 1] == 1 && read_u32(payload + at + 2) < 4096) return 0;
  return 1;
}

/* Writes what it can. 0: gone. */
static inline int drain(int fd, struct buffer *b, int *blocked) {
  *blocked = 0;
  while (held(b) > 0) {
    ssize_t n = write(fd, b->bytes + b->start, held(b));
    if (n < 0 && errno == EAGAIN) {
      *blocked = 1;
      return 1;
    }
    if (n < 0) return 0;
    b->start += (size_t)n;
  }
  return 1;
}

static inline void no_delay(int fd) {
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}
#endif
