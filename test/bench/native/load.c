/*
 * The client of every topology, one thread:
 *
 *   load http1|http2|tcp|stream IP PORT CONNECTIONS STREAMS WARM_SECONDS SECONDS RATE [fresh] [hold=SECONDS] [hosts=N]
 *
 * RATE 0: the next request follows an answer at once (saturation). Else requests are due at fixed times, and latency counts from
 * when one was due: a proxy that stalls delays all that were due meanwhile. `tcp` sends 256 bytes and waits for them; `stream`
 * reads what it is sent. fresh: each exchange on a connection of its own. hold: keeps connections open, idle, at the end. hosts: names
 * the server by N names in turn.
 *
 * Prints `begin` when the warm-up is over, and then one line of JSON: exchanges done and failed in the time measured, bytes
 * read, seconds, latencies in tenths of a microsecond (at a rate only). Exit code 1 where nothing can be measured.
 */
#include "common.h"

enum { HTTP1, HTTP2, TCP, STREAM };

struct slot {
  uint32_t stream;
  int busy, answered;
  uint64_t due;
};

struct connection {
  int fd, blocked, connecting, ready, indexing, warm, open, leaving;
  uint32_t next_stream, taken;
  int64_t window;
  struct buffer in, out;
  struct slot *slots;
  /* HTTP/1: bytes of the answer still to come, -1 before its head. */
  int64_t rest;
};

static int protocol, connections, streams, fresh, hosts = 1;
static double warm_s, run_s, rate, hold_s;
static struct sockaddr_in address;
static struct connection *all;
static int poll_fd;
static uint64_t done, failed, bytes_read, failures_in_all, warm_at, end_at;
static int measuring, ending;
static uint32_t *samples;
static size_t sample_count, sample_capacity;
/* Free places in the order in which they became free; what is due and has no place. */
static int *free_places;
static size_t free_head, free_tail, places;
static uint64_t *due_queue;
static size_t due_head, due_tail;
enum { DUE_CAPACITY = 1 << 20 };
static char last_problem[200];

static void fail(const char *why) {
  snprintf(last_problem, sizeof last_problem, "%s", why);
  if (measuring) failed++;
  if (++failures_in_all > 2000) {
    fprintf(stderr, "bench load: more than 2000 failures, the last: %s\n", last_problem);
    exit(1);
  }
}

static void watch(struct connection *c, int operation) {
  struct epoll_event event = {.events = EPOLLIN | (c->connecting || c->blocked ? EPOLLOUT : 0), .data.ptr = c};
  epoll_ctl(poll_fd, operation, c->fd, &event);
}

static void release(struct connection *c, struct slot *slot) {
  slot->busy = 0;
  c->open--;
  free_places[free_tail++ % places] = (int)((c - all) * streams + (slot - c->slots));
}

static void dial(struct connection *c) {
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (c->fd < 0) die("socket");
  no_delay(c->fd);
  c->in.start = c->in.end = c->out.start = c->out.end = 0;
  c->connecting = 1;
  c->blocked = c->warm = c->leaving = 0;
  c->ready = protocol != HTTP2;
  c->indexing = 1;
  c->next_stream = 1;
  c->taken = 0;
  c->window = 65535;
  c->rest = -1;
  if (connect(c->fd, (void *)&address, sizeof address) < 0 && errno != EINPROGRESS) die("connect");
  if (protocol == HTTP2) {
    put(&c->out, PREFACE, PREFACE_LENGTH);
    put_settings(&c->out);
  } else if (protocol == STREAM) {
    put(&c->out, "S", 1);
  }
  watch(c, EPOLL_CTL_ADD);
}

static void redial(struct connection *c, const char *why) {
  for (int at = 0; at < streams; at++) {
    if (!c->slots[at].busy) continue;
    fail(why);
    release(c, &c->slots[at]);
  }
  close(c->fd);
  dial(c);
}

static void send2(struct connection *c, struct slot *slot) {
  static const unsigned char again[] = {0x83, 0x86, 0xc2, 0xc1, 0xc0, 0xbf, 0xbe};
  unsigned char message[MESSAGE_LENGTH] = {0, 0, 0, 0, MESSAGE_LENGTH - 5};
  memset(message + 5, 'x', MESSAGE_LENGTH - 5);
  slot->stream = c->next_stream;
  c->next_stream += 2;
  c->window -= MESSAGE_LENGTH;
  if (c->indexing && c->warm) {
    put_frame(&c->out, HEADERS, END_HEADERS, slot->stream, again, sizeof again);
  } else {
    struct buffer fields = {0};
    put(&fields, "\x83\x86", 2);
    put_field(&fields, c->indexing, ":path", "/bench.Bench/Call");
    put_field(&fields, c->indexing, ":authority", "server.bench.svc.cluster.local");
    put_field(&fields, c->indexing, "content-type", "application/grpc");
    put_field(&fields, c->indexing, "te", "trailers");
    put_field(&fields, c->indexing, "user-agent", "bench/1.0");
    put_frame(&c->out, HEADERS, END_HEADERS, slot->stream, fields.bytes, held(&fields));
    free(fields.bytes);
    c->warm = 1;
  }
  put_frame(&c->out, DATA, END_STREAM, slot->stream, message, MESSAGE_LENGTH);
}

static void send1(struct connection *c) {
  static unsigned turn;
  char head[256];
  int length = snprintf(head, sizeof head,
      "GET / HTTP/1.1\r\nHost: %s%u.bench.svc.cluster.local\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n"
      "Accept-Encoding: gzip, deflate\r\n%s\r\n",
      "server", hosts > 1 ? turn++ % (unsigned)hosts : 0u, fresh ? "Connection: close\r\n" : "");
  c->rest = -1;
  put(&c->out, head, (size_t)length);
}

static void begin_exchange(int place, uint64_t due) {
  struct connection *c = &all[place / streams];
  struct slot *slot = &c->slots[place % streams];
  slot->busy = 1;
  slot->answered = 0;
  slot->due = due;
  c->open++;
  if (protocol == HTTP2) send2(c, slot);
  else if (protocol == HTTP1) send1(c);
  else {
    unsigned char *at = room(&c->out, ECHO_LENGTH);
    memset(at, 'E', ECHO_LENGTH);
    c->out.end += ECHO_LENGTH;
    c->rest = ECHO_LENGTH;
  }
}

static int usable(const struct connection *c) {
  return c->ready && !c->leaving && (protocol != HTTP2 || c->window >= MESSAGE_LENGTH);
}

static void finish(struct connection *c, struct slot *slot, uint64_t now) {
  if (measuring) {
    done++;
    if (rate > 0 && sample_count < sample_capacity) samples[sample_count++] = (uint32_t)((now - slot->due) / 100);
  }
  release(c, slot);
}

static struct slot *slot_of(struct connection *c, uint32_t stream) {
  for (int at = 0; at < streams; at++)
    if (c->slots[at].busy && c->slots[at].stream == stream) return &c->slots[at];
  return NULL;
}

static int read2(struct connection *c) {
  uint64_t now = now_ns();
  while (held(&c->in) >= 9) {
    unsigned char *frame = c->in.bytes + c->in.start, *payload = frame + 9;
    size_t length = (size_t)frame[0] << 16 | (size_t)frame[1] << 8 | frame[2];
    int type = frame[3], flags = frame[4];
    uint32_t stream = read_u32(frame + 5) & 0x7fffffff;
    if (held(&c->in) < 9 + length) break;
    if (type == SETTINGS && !(flags & ACK)) {
      c->indexing = keeps_table(payload, length);
      c->ready = 1;
      put_frame(&c->out, SETTINGS, ACK, 0, "", 0);
    } else if (type == PING && !(flags & ACK)) {
      put_frame(&c->out, PING, ACK, 0, payload, length);
    } else if (type == WINDOW_UPDATE && stream == 0) {
      c->window += read_u32(payload) & 0x7fffffff;
    } else if (type == GOAWAY) {
      c->leaving = 1;
    } else if (type == RST_STREAM || type == DATA || type == HEADERS) {
      struct slot *slot = slot_of(c, stream);
      if (type == DATA) give_back(&c->out, &c->taken, length);
      if (slot != NULL && type == HEADERS && !slot->answered) {
        size_t at = 0;
        while (at < length && (payload[at] & 0xe0) == 0x20) at++; /* a new size of the table: one byte, where it is small */
        while (at > 0 && at < length && payload[at - 1] == 0x3f && payload[at] != 0x88) at++;
        if (at >= length || payload[at] != 0x88) fail("an answer over HTTP/2 that is not 200");
        slot->answered = 1;
      }
      if (slot != NULL && type == RST_STREAM) {
        fail("a stream was reset");
        release(c, slot);
      } else if (slot != NULL && (flags & END_STREAM)) finish(c, slot, now);
    }
    c->in.start += 9 + length;
  }
  return !(c->leaving && c->open == 0);
}

static int read1(struct connection *c) {
  struct slot *slot = &c->slots[0];
  if (!slot->busy) return held(&c->in) == 0;
  if (c->rest < 0) {
    char *head = (char *)c->in.bytes + c->in.start;
    char *end = memmem(head, held(&c->in), "\r\n\r\n", 4);
    if (end == NULL) return 1;
    *end = 0;
    if (held(&c->in) < 15 || memcmp(head + 9, "200", 3) != 0) fail("an answer over HTTP/1 that is not 200");
    char *length = strcasestr(head, "\r\ncontent-length:");
    if (length == NULL) {
      fail("an answer over HTTP/1 without a length");
      return 0;
    }
    c->rest = atoll(length + 17);
    c->in.start += (size_t)(end + 4 - head);
  }
  int64_t taken = (int64_t)held(&c->in) < c->rest ? (int64_t)held(&c->in) : c->rest;
  c->rest -= taken;
  c->in.start += (size_t)taken;
  if (c->rest == 0) {
    finish(c, slot, now_ns());
    return !fresh;
  }
  return 1;
}

static int read_tcp(struct connection *c) {
  c->rest -= (int64_t)held(&c->in);
  c->in.start = c->in.end;
  if (!c->slots[0].busy || c->rest > 0) return 1;
  finish(c, &c->slots[0], now_ns());
  return !fresh;
}

/* 0: the connection is over. */
static int take(struct connection *c) {
  for (;;) {
    ssize_t n = read(c->fd, room(&c->in, 65536), 65536);
    if (n < 0 && errno == EAGAIN) break;
    if (n <= 0) return 0;
    if (measuring) bytes_read += (uint64_t)n;
    c->in.end += (size_t)n;
    if (protocol == STREAM) c->in.start = c->in.end;
    if (n < 65536 || protocol == STREAM) break;
  }
  if (protocol == STREAM) return 1;
  return protocol == HTTP1 ? read1(c) : protocol == HTTP2 ? read2(c) : read_tcp(c);
}

static void flush(struct connection *c) {
  if (c->connecting) return;
  int was = c->blocked;
  if (!drain(c->fd, &c->out, &c->blocked)) redial(c, "a connection was closed while it was written to");
  else if (was != c->blocked) watch(c, EPOLL_CTL_MOD);
}

/* Gives work to places that are free, each once. */
static void hand_out(uint64_t now) {
  if (protocol == STREAM || ending) return;
  size_t looked = free_tail - free_head;
  while (looked-- > 0) {
    if (rate > 0 && due_head == due_tail) return;
    int place = free_places[free_head++ % places];
    struct connection *c = &all[place / streams];
    if (!usable(c)) {
      free_places[free_tail++ % places] = place;
      continue;
    }
    begin_exchange(place, rate > 0 ? due_queue[due_head++ % DUE_CAPACITY] : now);
  }
}

static void print_result(double seconds) {
  printf("{\"done\":%lu,\"failed\":%lu,\"bytes\":%lu,\"seconds\":%.6f,\"late\":%zu,\"problem\":\"%s\",\"samples\":[", done, failed,
         bytes_read, seconds, due_tail - due_head, last_problem);
  for (size_t at = 0; at < sample_count; at++) printf(at == 0 ? "%u" : ",%u", samples[at]);
  puts("]}");
  fflush(stdout);
}

static void parse(int argc, char **argv) {
  static const char *names[] = {"http1", "http2", "tcp", "stream"};
  if (argc < 9) {
    fprintf(stderr, "usage: load http1|http2|tcp|stream IP PORT CONNECTIONS STREAMS WARM SECONDS RATE [fresh] [hold=S] [hosts=N]\n");
    exit(64);
  }
  for (protocol = 0; protocol < 4 && strcmp(names[protocol], argv[1]) != 0;) protocol++;
  address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[3]))};
  if (protocol == 4 || inet_pton(AF_INET, argv[2], &address.sin_addr) != 1) exit(64);
  connections = atoi(argv[4]);
  streams = protocol == HTTP2 ? atoi(argv[5]) : 1;
  warm_s = atof(argv[6]);
  run_s = atof(argv[7]);
  rate = atof(argv[8]);
  for (int at = 9; at < argc; at++) {
    if (strcmp(argv[at], "fresh") == 0) fresh = 1;
    else if (sscanf(argv[at], "hold=%lf", &hold_s) != 1 && sscanf(argv[at], "hosts=%d", &hosts) != 1) exit(64);
  }
}

int main(int argc, char **argv) {
  parse(argc, argv);
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_TIMERSLACK, 1);
  poll_fd = epoll_create1(0);
  places = (size_t)connections * (size_t)streams;
  all = calloc((size_t)connections, sizeof *all);
  free_places = calloc(places, sizeof *free_places);
  due_queue = calloc(DUE_CAPACITY, sizeof *due_queue);
  sample_capacity = (size_t)(rate * run_s * 1.2) + 1000;
  samples = calloc(sample_capacity, sizeof *samples);
  for (int at = 0; at < connections; at++) {
    all[at].slots = calloc((size_t)streams, sizeof *all[at].slots);
    dial(&all[at]);
  }
  /* Connections take turns, not streams of one connection. */
  for (int stream = 0; stream < streams; stream++)
    for (int at = 0; at < connections; at++) free_places[free_tail++] = at * streams + stream;
  uint64_t begun = now_ns(), step = rate > 0 ? (uint64_t)(1e9 / rate) : 0, next = begun + 50000000, measured_from = 0;
  warm_at = begun + (uint64_t)(warm_s * 1e9);
  end_at = warm_at + (uint64_t)(run_s * 1e9);
  struct epoll_event events[256];
  for (;;) {
    uint64_t now = now_ns();
    if (!measuring && now >= warm_at) {
      puts("begin");
      fflush(stdout);
      done = failed = bytes_read = sample_count = 0;
      measuring = 1;
      measured_from = now;
    }
    if (now >= end_at) break;
    while (step > 0 && next <= now) {
      if (due_tail - due_head < DUE_CAPACITY) due_queue[due_tail++ % DUE_CAPACITY] = next;
      next += step;
    }
    hand_out(now);
    for (int at = 0; at < connections; at++)
      if (held(&all[at].out) > 0 && !all[at].blocked) flush(&all[at]);
    uint64_t wake = measuring ? end_at : warm_at;
    if (step > 0 && next < wake) wake = next;
    now = now_ns();
    struct timespec wait = {0};
    if (wake > now) wait = (struct timespec){(time_t)((wake - now) / 1000000000), (long)((wake - now) % 1000000000)};
    int count = epoll_pwait2(poll_fd, events, 256, &wait, NULL);
    for (int at = 0; at < count; at++) {
      struct connection *c = events[at].data.ptr;
      if (c->connecting && (events[at].events & EPOLLOUT)) {
        c->connecting = 0;
        watch(c, EPOLL_CTL_MOD);
      }
      if (c->blocked && (events[at].events & EPOLLOUT)) c->blocked = 0, watch(c, EPOLL_CTL_MOD);
      if ((events[at].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !take(c)) {
        if (protocol == STREAM) fail("a stream of bytes ended");
        redial(c, "a connection was closed while an answer was due");
      }
    }
  }
  print_result((double)(now_ns() - measured_from) / 1e9);
  if (hold_s > 0) {
    struct timespec wait = {(time_t)hold_s, (long)((hold_s - (double)(time_t)hold_s) * 1e9)};
    nanosleep(&wait, NULL);
  }
  return 0;
}
