/*
 * The server behind every variant: `backend IP HTTP1_PORT HTTP2_PORT TCP_PORT`, one thread, as cheap as can be, so that the
 * proxies are what saturates. HTTP/1.1: 200 with 128 bytes. HTTP/2: a gRPC answer with trailers. TCP: a connection that begins
 * with S is sent bytes until it ends; another is sent back what it sends.
 */
#include "common.h"

enum { HTTP1, HTTP2, TCP };

struct connection {
  int fd, protocol, blocked, begun, source, indexing, warm;
  struct buffer in, out;
  int64_t window;
  uint32_t taken;
  /* Streams that wait for the connection's window. */
  uint32_t *waiting;
  size_t waiters, most_waiters;
};

struct listener {
  int fd, protocol;
};

static char answer1[512];
static size_t answer1_length;
static unsigned char filler[65536];

static void answer2(struct connection *c, uint32_t stream) {
  struct buffer *out = &c->out;
  unsigned char message[MESSAGE_LENGTH] = {0, 0, 0, 0, MESSAGE_LENGTH - 5};
  static const unsigned char head_again[] = {0x88, 0xbf}, trailer_again[] = {0xbe};
  struct buffer fields = {0};
  memset(message + 5, 'x', MESSAGE_LENGTH - 5);
  c->window -= MESSAGE_LENGTH;
  if (c->indexing && c->warm) {
    put_frame(out, HEADERS, END_HEADERS, stream, head_again, 2);
    put_frame(out, DATA, 0, stream, message, MESSAGE_LENGTH);
    put_frame(out, HEADERS, END_HEADERS | END_STREAM, stream, trailer_again, 1);
    return;
  }
  put(&fields, "\x88", 1);
  put_field(&fields, c->indexing, "content-type", "application/grpc");
  put_frame(out, HEADERS, END_HEADERS, stream, fields.bytes, held(&fields));
  put_frame(out, DATA, 0, stream, message, MESSAGE_LENGTH);
  fields.end = 0;
  put_field(&fields, c->indexing, "grpc-status", "0");
  put_frame(out, HEADERS, END_HEADERS | END_STREAM, stream, fields.bytes, held(&fields));
  free(fields.bytes);
  c->warm = 1;
}

static void request2(struct connection *c, uint32_t stream) {
  if (c->window >= MESSAGE_LENGTH) {
    answer2(c, stream);
    return;
  }
  if (c->waiters == c->most_waiters) {
    c->most_waiters = c->most_waiters * 2 + 16;
    c->waiting = realloc(c->waiting, c->most_waiters * sizeof *c->waiting);
    if (c->waiting == NULL) die("out of memory");
  }
  c->waiting[c->waiters++] = stream;
}

static int read2(struct connection *c) {
  if (!c->begun) {
    if (held(&c->in) < PREFACE_LENGTH) return 1;
    if (memcmp(c->in.bytes + c->in.start, PREFACE, PREFACE_LENGTH) != 0) return 0;
    c->in.start += PREFACE_LENGTH;
    c->begun = 1;
    put_settings(&c->out);
  }
  while (held(&c->in) >= 9) {
    unsigned char *frame = c->in.bytes + c->in.start, *payload = frame + 9;
    size_t length = (size_t)frame[0] << 16 | (size_t)frame[1] << 8 | frame[2];
    int type = frame[3], flags = frame[4];
    uint32_t stream = read_u32(frame + 5) & 0x7fffffff;
    if (held(&c->in) < 9 + length) break;
    if (type == SETTINGS && !(flags & ACK)) {
      c->indexing = keeps_table(payload, length);
      put_frame(&c->out, SETTINGS, ACK, 0, "", 0);
    } else if (type == PING && !(flags & ACK)) {
      put_frame(&c->out, PING, ACK, 0, payload, length);
    } else if (type == WINDOW_UPDATE && stream == 0) {
      c->window += read_u32(payload) & 0x7fffffff;
      size_t served = 0;
      while (served < c->waiters && c->window >= MESSAGE_LENGTH) answer2(c, c->waiting[served++]);
      c->waiters -= served;
      memmove(c->waiting, c->waiting + served, c->waiters * sizeof *c->waiting);
    } else if (type == DATA || type == HEADERS) {
      if (type == DATA) give_back(&c->out, &c->taken, length);
      if (flags & END_STREAM) request2(c, stream);
    }
    c->in.start += 9 + length;
  }
  return 1;
}

static int read1(struct connection *c) {
  for (;;) {
    unsigned char *head = c->in.bytes + c->in.start;
    unsigned char *end = memmem(head, held(&c->in), "\r\n\r\n", 4);
    if (end == NULL) return held(&c->in) < 65536;
    c->in.start += (size_t)(end + 4 - head);
    put(&c->out, answer1, answer1_length);
  }
}

static int read_tcp(struct connection *c) {
  if (!c->begun && held(&c->in) > 0) {
    c->begun = 1;
    c->source = c->in.bytes[c->in.start] == 'S';
  }
  if (!c->source) put(&c->out, c->in.bytes + c->in.start, held(&c->in));
  c->in.start = c->in.end;
  return 1;
}

/* Bytes for as long as they go out, but not for ever: others have their turn. */
static int pour(struct connection *c) {
  for (int turn = 0; turn < 4; turn++) {
    ssize_t n = write(c->fd, filler, sizeof filler);
    if (n < 0) return errno == EAGAIN;
    if ((size_t)n < sizeof filler) return 1;
  }
  return 1;
}

static int serve(struct connection *c) {
  for (;;) {
    ssize_t n = read(c->fd, room(&c->in, 65536), 65536);
    if (n == 0) return 0;
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) return 0;
    c->in.end += (size_t)n;
    if (n < 65536) break;
  }
  if (held(&c->in) == 0) return 1;
  return c->protocol == HTTP1 ? read1(c) : c->protocol == HTTP2 ? read2(c) : read_tcp(c);
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: backend IP HTTP1_PORT HTTP2_PORT TCP_PORT\n");
    return 64;
  }
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  memset(filler, 'x', sizeof filler);
  answer1_length = (size_t)snprintf(answer1, sizeof answer1,
      "HTTP/1.1 200 OK\r\nserver: bench\r\ndate: Tue, 01 Jan 2030 00:00:00 GMT\r\ncontent-type: text/plain\r\ncontent-length: 128\r\n\r\n%0128d", 0);
  int poll = epoll_create1(0);
  struct listener listeners[3];
  for (int at = 0; at < 3; at++) {
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2 + at]))};
    inet_pton(AF_INET, argv[1], &address.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (void *)&address, sizeof address) < 0 || listen(fd, 4096) < 0) die("listen");
    listeners[at] = (struct listener){fd, at};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listeners[at]};
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
  }
  puts("listening");
  fflush(stdout);
  struct epoll_event events[256];
  for (;;) {
    int count = epoll_wait(poll, events, 256, -1);
    for (int at = 0; at < count; at++) {
      struct listener *listener = events[at].data.ptr;
      if (listener >= listeners && listener < listeners + 3) {
        for (int fd; (fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
          struct connection *c = calloc(1, sizeof *c);
          *c = (struct connection){.fd = fd, .protocol = listener->protocol, .window = 65535, .indexing = 1};
          no_delay(fd);
          struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
          epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
        }
        continue;
      }
      struct connection *c = events[at].data.ptr;
      int was = c->blocked || c->source;
      int alive = 1;
      if (events[at].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) alive = serve(c);
      if (alive) alive = c->source ? pour(c) : drain(c->fd, &c->out, &c->blocked);
      if (!alive) {
        close(c->fd);
        free(c->in.bytes);
        free(c->out.bytes);
        free(c->waiting);
        free(c);
      } else if (was != (c->blocked || c->source)) {
        struct epoll_event event = {.events = EPOLLIN | (c->blocked || c->source ? EPOLLOUT : 0), .data.ptr = c};
        epoll_ctl(poll, EPOLL_CTL_MOD, c->fd, &event);
      }
    }
  }
}
