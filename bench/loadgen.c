/* loadgen.c - load client and sink for TCP relays and tunnels.   gcc -O2 -Wall -o loadgen loadgen.c
 *
 *   loadgen sink PORT                     server: epoll, one thread, all modes below
 *   loadgen upload   PORT STREAMS BYTES [LIMIT_S] [WRITE_SIZE]  BYTES per stream, client -> sink, until sink acknowledges
 *   loadgen download PORT STREAMS BYTES [LIMIT_S]               BYTES per stream, sink -> client
 *   loadgen verify   PORT STREAMS BYTES [LIMIT_S]               upload+download with a checked byte pattern
 *   loadgen ping     PORT CONNS COUNT SIZE [LIMIT_S] [GAP_US]   COUNT round trips, round-robin over CONNS connections
 *   loadgen connrate PORT CONC TOTAL [LIMIT_S]                  connect + 1 byte echo + close
 *   loadgen idle     PORT N HOLD_S [LIMIT_S] [PORTS]            opens N (1 byte echo each) over PORTS ports from PORT on, prints a ready line,
 *                                                              holds for HOLD_S or until a byte comes on stdin, echoes again, closes
 *   loadgen flows    PORT STREAMS WARM_S FOR_S UP [LIMIT_S]     never-ending streams, up (1) or down (0); what each moved in FOR_S after WARM_S
 * PORT is a port on 127.0.0.1, or ADDRESS:PORT (IPv4). One JSON object a line on stdout.  Every loop is bounded by count and by LIMIT_S.
 * Sink protocol, by first byte:  'e' echo everything (this byte too);  'U' + 7 pad + u64le len: discard len, answer 8 bytes;
 *   'D' + 7 pad + u64le len: send len;  'V' as U but pattern checked;  'W' as D with pattern;
 *   'T' + 15 pad: discard everything, tell the sum so far (u64le) every 20 ms while it grows.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUF (256 * 1024)
static unsigned char *buf, *pat;          /* pat: byte i = pattern(i) for i < PATLEN + BUF, period PATLEN */
#define PATLEN 65521                       /* prime, so that a shifted or repeated chunk shows */
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
static void die(const char *m) { printf("{\"error\":\"%s: %s\"}\n", m, strerror(errno)); fflush(stdout); exit(1); }
static void nb(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }
static void more_files(void) { struct rlimit r; if (!getrlimit(RLIMIT_NOFILE, &r)) { r.rlim_cur = r.rlim_max; setrlimit(RLIMIT_NOFILE, &r); } }
static void nodelay(int fd) { int o = 1; setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &o, sizeof o); }
static double cpu(void) { struct rusage r; getrusage(RUSAGE_SELF, &r);
  return r.ru_utime.tv_sec + r.ru_stime.tv_sec + 1e-6 * (r.ru_utime.tv_usec + r.ru_stime.tv_usec); }

static struct in_addr host;               /* of PORT */
struct conn { int fd; int mode; uint64_t left, done, total; int hlen; unsigned char hdr[16]; char out[65536]; int olen, ooff; int wantw; double t0; int st; int err; };

static int newsock(void) { int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); if (fd < 0) die("socket"); return fd; }
static int dial(int port, int nonblock) {
  int fd = newsock(); if (nonblock) nb(fd);
  struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = host };
  if (connect(fd, (void *)&a, sizeof a) < 0 && errno != EINPROGRESS) { close(fd); return -1; }
  nodelay(fd); return fd;
}

/* ---------------- sink ---------------- */
static void sclose(int ep, struct conn *c) { epoll_ctl(ep, EPOLL_CTL_DEL, c->fd, 0); close(c->fd); free(c); }
static void arm(int ep, struct conn *c, int w) { if (c->wantw == w) return; c->wantw = w;
  struct epoll_event e = { .events = (w == 2 ? 0 : EPOLLIN) | (w ? EPOLLOUT : 0), .data.ptr = c }; epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e); }
static int spump(int ep, struct conn *c) { /* 'D' and 'W' */
  for (int k = 0; c->left && k < 16; k++) {
    size_t n = c->left < BUF ? c->left : BUF;
    ssize_t r = send(c->fd, c->mode == 'W' ? pat + (c->done % PATLEN) : buf, n, MSG_NOSIGNAL);
    if (r < 0) { if (errno == EAGAIN) { arm(ep, c, 1); return 0; } return -1; }
    c->left -= r; c->done += r;
  }
  arm(ep, c, c->left ? 1 : 0); return 0;
}
static void sink(int port) {
  int ls = newsock(), o = 1; setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &o, sizeof o);
  struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = host };
  if (bind(ls, (void *)&a, sizeof a) || listen(ls, 4096)) die("listen"); nb(ls);
  int ep = epoll_create1(EPOLL_CLOEXEC); struct epoll_event e = { .events = EPOLLIN, .data.ptr = 0 }, ev[256]; epoll_ctl(ep, EPOLL_CTL_ADD, ls, &e);
  printf("{\"listening\":%d}\n", port); fflush(stdout);
  double end = now() + 4 * 3600;
  while (now() < end) {
    int n = epoll_wait(ep, ev, 256, 1000);
    for (int i = 0; i < n; i++) {
      struct conn *c = ev[i].data.ptr;
      if (!c) { for (int k = 0; k < 64; k++) { int fd = accept4(ls, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC); if (fd < 0) break; nodelay(fd);
          c = calloc(1, sizeof *c); c->fd = fd; struct epoll_event x = { .events = EPOLLIN, .data.ptr = c }; epoll_ctl(ep, EPOLL_CTL_ADD, fd, &x); } continue; }
      if ((ev[i].events & EPOLLOUT)) {
        if (c->mode == 'D' || c->mode == 'W') { if (spump(ep, c)) { sclose(ep, c); continue; } }
        else if (c->mode == 'e') { ssize_t r = send(c->fd, c->out + c->ooff, c->olen - c->ooff, MSG_NOSIGNAL);
          if (r < 0 && errno != EAGAIN) { sclose(ep, c); continue; } if (r > 0) c->ooff += r; if (c->ooff == c->olen) { c->olen = c->ooff = 0; arm(ep, c, 0); } }
      }
      if (!(ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) continue;
      int dead = 0;
      for (int k = 0; k < 16 && !dead; k++) {
        ssize_t r;
        if (!c->mode) { unsigned char b; r = recv(c->fd, &b, 1, MSG_PEEK); if (r > 0) { c->mode = b; continue; } }
        else if (c->mode == 'e') { if (c->olen) break; r = recv(c->fd, c->out, sizeof c->out, 0);
          if (r > 0) { ssize_t w = send(c->fd, c->out, r, MSG_NOSIGNAL); if (w < 0) w = errno == EAGAIN ? 0 : (dead = 1, 0);
            if (w < r) { c->olen = r; c->ooff = w; arm(ep, c, 2); } if (r < (ssize_t)sizeof c->out) break; continue; } }
        else if (c->hlen < 16) { r = recv(c->fd, c->hdr + c->hlen, 16 - c->hlen, 0);
          if (r > 0) { c->hlen += r; if (c->hlen == 16) { memcpy(&c->left, c->hdr + 8, 8); c->total = c->left; if (c->mode == 'D' || c->mode == 'W') if (spump(ep, c)) dead = 1; } continue; } }
        else if (c->mode == 'U' || c->mode == 'V') {
          size_t want = c->left < BUF ? c->left : BUF; if (!want) want = BUF;
          r = recv(c->fd, buf, want, c->mode == 'U' ? MSG_TRUNC : 0);      /* MSG_TRUNC on TCP: discard without copying */
          if (r > 0) { if (c->mode == 'V' && memcmp(buf, pat + (c->done % PATLEN), r)) c->err = 1;
            c->left -= r; c->done += r; if (!c->left) { uint64_t v = c->err ? 0 : c->total; if (send(c->fd, &v, 8, MSG_NOSIGNAL) < 0) dead = 1; } continue; } }
        else if (c->mode == 'T') { r = recv(c->fd, buf, BUF, MSG_TRUNC);
          if (r > 0) { c->done += r; double t = now(); if (t - c->t0 > .02) { c->t0 = t; if (send(c->fd, &c->done, 8, MSG_NOSIGNAL) < 0 && errno != EAGAIN) dead = 1; } continue; } }
        else r = recv(c->fd, buf, BUF, 0);
        if (r == 0) dead = 1; else if (r < 0) { if (errno != EAGAIN) dead = 1; break; }
      }
      if (dead) sclose(ep, c);
    }
  }
}

/* ---------------- client ---------------- */
static int dcmp(const void *a, const void *b) { double x = *(double *)a, y = *(double *)b; return x < y ? -1 : x > y; }
static double pct(double *v, long n, double p) { if (!n) return 0; long i = (long)(p * (n - 1) + 0.5); return v[i]; }

static void bulk(const char *what, int up, int check, int port, int n, uint64_t bytes, double limit, size_t wsize) {
  double t0 = now(), c0 = cpu(); int ep = epoll_create1(0); struct conn *cs = calloc(n, sizeof *cs); struct epoll_event ev[256];
  for (int i = 0; i < n; i++) {
    struct conn *c = cs + i; c->fd = dial(port, 0); if (c->fd < 0) die("connect"); c->left = c->total = bytes;
    c->hdr[0] = up ? (check ? 'V' : 'U') : (check ? 'W' : 'D'); memcpy(c->hdr + 8, &bytes, 8);
    if (send(c->fd, c->hdr, 16, MSG_NOSIGNAL) != 16) die("hdr"); nb(c->fd);
    struct epoll_event e = { .events = up ? EPOLLOUT : EPOLLIN, .data.ptr = c }; epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
  }
  int live = n, bad = 0; uint64_t moved = 0; double first = 0, t1 = now();
  while (live && now() - t0 < limit) {
    int k = epoll_wait(ep, ev, 256, 200);
    for (int i = 0; i < k; i++) { struct conn *c = ev[i].data.ptr; int fin = 0;
      if (!first) first = now() - t1;
      for (int j = 0; j < 8 && !fin; j++) {
        if (up && c->left) { size_t w = c->left < wsize ? c->left : wsize;
          ssize_t r = send(c->fd, check ? pat + (c->done % PATLEN) : buf, w, MSG_NOSIGNAL);
          if (r < 0) { if (errno == EAGAIN) break; bad++; fin = 1; } else { c->left -= r; c->done += r; moved += r;
            if (!c->left) { struct epoll_event e = { .events = EPOLLIN, .data.ptr = c }; epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e); } } }
        else if (up) { uint64_t v = 0; ssize_t r = recv(c->fd, &v, 8, 0); if (r < 0 && errno == EAGAIN) break; if (r != 8 || v != c->total) bad++; fin = 1; }
        else { ssize_t r = recv(c->fd, buf, BUF, check ? 0 : MSG_TRUNC); if (r < 0 && errno == EAGAIN) break; if (r <= 0) { bad++; fin = 1; break; }
          if (check && memcmp(buf, pat + (c->done % PATLEN), r)) bad++;
          c->left -= r; c->done += r; moved += r; if (!c->left) fin = 1; }
      }
      if (fin) { epoll_ctl(ep, EPOLL_CTL_DEL, c->fd, 0); close(c->fd); live--; }
    }
  }
  double dt = now() - t0;
  printf("{\"mode\":\"%s\",\"streams\":%d,\"bytes\":%llu,\"secs\":%.6f,\"MBps\":%.2f,\"client_cpu\":%.4f,\"bad\":%d,\"unfinished\":%d}\n", what, n, (unsigned long long)moved, dt, moved / dt / 1e6, cpu() - c0, bad, live);
}
static void flows(int port, int n, double warm, double span, int up, double limit) {
  double t0 = now(); int ep = epoll_create1(0); struct conn *cs = calloc(n, sizeof *cs); struct epoll_event ev[256]; uint64_t *at = calloc(n, sizeof *at), sum = 0;
  for (int i = 0; i < n; i++) {
    struct conn *c = cs + i; c->fd = dial(port, 0); if (c->fd < 0) die("connect"); uint64_t endless = 1ull << 60;
    c->hdr[0] = up ? 'T' : 'D'; memcpy(c->hdr + 8, &endless, 8); if (send(c->fd, c->hdr, 16, MSG_NOSIGNAL) != 16) die("hdr"); nb(c->fd);
    struct epoll_event e = { .events = EPOLLIN | (up ? EPOLLOUT : 0), .data.ptr = c }; epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
  }
  double began = now(), from = 0, until = 0;
  while (!until && now() - t0 < limit) {
    double t = now();
    if (!from && t - began >= warm) { from = t; for (int i = 0; i < n; i++) at[i] = cs[i].done; }
    if (from && t - from >= span) { until = t; break; }
    int k = epoll_wait(ep, ev, 256, 10);
    for (int i = 0; i < k; i++) { struct conn *c = ev[i].data.ptr;
      for (int j = 0; j < 8; j++) {
        ssize_t r = up ? recv(c->fd, (char *)&c->left + c->olen, 8 - c->olen, 0) : recv(c->fd, buf, BUF, MSG_TRUNC);
        if (r == 0 || (r < 0 && errno != EAGAIN)) die("flow"); if (r < 0) break;
        if (!up) c->done += r; else if ((c->olen += r) == 8) { c->done = c->left; c->olen = 0; }
      }
      for (int j = 0; up && j < 8; j++) if (send(c->fd, buf, BUF, MSG_NOSIGNAL) < 0) { if (errno != EAGAIN) die("flow"); break; }
    }
  }
  if (!until) die("time is up");
  double dt = until - from;
  printf("{\"mode\":\"flows\",\"streams\":%d,\"secs\":%.4f,\"each\":[", n, dt);
  for (int i = 0; i < n; i++) { sum += cs[i].done - at[i]; printf("%s%llu", i ? "," : "", (unsigned long long)(cs[i].done - at[i])); }
  printf("],\"MBps\":%.3f}\n", sum / dt / 1e6);
}
static int rdn(int fd, char *b, int n) { int g = 0; while (g < n) { ssize_t r = recv(fd, b + g, n - g, 0); if (r <= 0) return -1; g += r; } return 0; }
static void ping(int port, int conns, long count, int size, double limit, int gap) {
  int *fd = calloc(conns, sizeof *fd); char *m = malloc(size), *r = malloc(size); memset(m, 'e', size); struct timeval tv = { 20, 0 };
  for (int i = 0; i < conns; i++) { fd[i] = dial(port, 0); if (fd[i] < 0) die("connect"); setsockopt(fd[i], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    if (send(fd[i], m, size, MSG_NOSIGNAL) != size || rdn(fd[i], r, size)) die("warm"); }
  double *v = malloc(sizeof *v * count), t0 = now(), c0 = cpu(); long i;
  for (i = 0; i < count && now() - t0 < limit; i++) { double a = now(); int f = fd[i % conns];
    if (send(f, m, size, MSG_NOSIGNAL) != size || rdn(f, r, size)) die("ping"); v[i] = now() - a; if (gap) usleep(gap); }
  double dt = now() - t0, s = 0; for (long k = 0; k < i; k++) s += v[k]; qsort(v, i, sizeof *v, dcmp);
  printf("{\"mode\":\"ping\",\"conns\":%d,\"size\":%d,\"count\":%ld,\"rps\":%.1f,\"mean_us\":%.2f,\"p50_us\":%.2f,\"p90_us\":%.2f,\"p95_us\":%.2f,\"p99_us\":%.2f,\"max_us\":%.1f,\"client_cpu\":%.4f}\n",
    conns, size, i, i / dt, s / i * 1e6, pct(v, i, .5) * 1e6, pct(v, i, .9) * 1e6, pct(v, i, .95) * 1e6, pct(v, i, .99) * 1e6, v[i - 1] * 1e6, cpu() - c0);
}
static void connrate(int port, int conc, long total, double limit) {
  int ep = epoll_create1(0); struct conn *cs = calloc(conc, sizeof *cs); struct epoll_event ev[256]; double *v = malloc(sizeof *v * total), t0 = now(), c0 = cpu();
  long started = 0, done = 0, bad = 0, live = 0;
  for (int i = 0; i < conc; i++) cs[i].fd = -1;
  while (done + bad < total && now() - t0 < limit && bad < 1000) {
    for (int i = 0; i < conc && started < total; i++) if (cs[i].fd < 0) { struct conn *c = cs + i; c->t0 = now(); c->fd = dial(port, 1); started++; if (c->fd < 0) { bad++; continue; } c->st = 0; live++;
        struct epoll_event e = { .events = EPOLLOUT, .data.ptr = c }; epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e); }
    int k = epoll_wait(ep, ev, 256, 200);
    for (int i = 0; i < k; i++) { struct conn *c = ev[i].data.ptr; int fin = 0;
      if (c->st == 0) { if (send(c->fd, "e", 1, MSG_NOSIGNAL) != 1) { bad++; fin = 1; } else { c->st = 1; struct epoll_event e = { .events = EPOLLIN, .data.ptr = c }; epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e); } }
      else { char b; ssize_t r = recv(c->fd, &b, 1, 0); if (r < 0 && errno == EAGAIN) continue; if (r != 1 || b != 'e') bad++; else v[done++] = now() - c->t0; fin = 1; }
      if (fin) { epoll_ctl(ep, EPOLL_CTL_DEL, c->fd, 0); close(c->fd); c->fd = -1; live--; } }
  }
  double dt = now() - t0; qsort(v, done, sizeof *v, dcmp);
  printf("{\"mode\":\"connrate\",\"conc\":%d,\"done\":%ld,\"bad\":%ld,\"secs\":%.4f,\"per_s\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"client_cpu\":%.4f}\n", conc, done, bad, dt, done / dt, pct(v, done, .5) * 1e6, pct(v, done, .99) * 1e6, cpu() - c0);
}
static void rest(double hold) { /* a byte on stdin ends it early; end of file does not */
  struct pollfd p = { .fd = 0, .events = POLLIN }; double end = now() + hold; char b;
  while (now() < end) if (poll(&p, 1, (int)((end - now()) * 1e3) + 1) > 0) { if (read(0, &b, 1) > 0) return; p.fd = -1; }
}
static void idle(int port, int n, double hold, double limit, int ports) {
  int *fd = calloc(n, sizeof *fd); char b; double t0 = now(); int i, ok = 0, ok2 = 0; struct timeval tv = { 20, 0 };
  for (i = 0; i < n && now() - t0 < limit; i++) { fd[i] = dial(port + i % ports, 0); if (fd[i] < 0) break; setsockopt(fd[i], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    if (send(fd[i], "e", 1, MSG_NOSIGNAL) == 1 && recv(fd[i], &b, 1, 0) == 1) ok++; else break; }
  printf("{\"mode\":\"idle\",\"opened\":%d,\"ok\":%d,\"secs\":%.3f}\n", i, ok, now() - t0); fflush(stdout);
  rest(hold); double t1 = now();
  for (int k = 0; k < ok && now() - t1 < limit; k++) if (send(fd[k], "e", 1, MSG_NOSIGNAL) == 1 && recv(fd[k], &b, 1, 0) == 1) ok2++; else break;
  printf("{\"mode\":\"idle_after\",\"ok\":%d}\n", ok2); fflush(stdout);
  for (int k = 0; k < i; k++) close(fd[k]);
}
int main(int c, char **v) {
  signal(SIGPIPE, SIG_IGN); if (c < 3) die("usage"); more_files();
  buf = malloc(BUF); memset(buf, 0x5a, BUF); pat = malloc(PATLEN + BUF); for (long i = 0; i < PATLEN + BUF; i++) pat[i] = (unsigned char)(((i % PATLEN) * 2654435761u) >> 13);
  char *colon = strchr(v[2], ':'); int port = atoi(colon ? colon + 1 : v[2]); if (colon) *colon = 0;
  if (!inet_aton(colon ? v[2] : "127.0.0.1", &host)) die("address");
#define A(i, d) (c > (i) ? atof(v[i]) : (d))
  if (!strcmp(v[1], "sink")) sink(port);
  else if (!strcmp(v[1], "upload")) bulk("upload", 1, 0, port, A(3, 1), A(4, 1e8), A(5, 30), A(6, BUF) > BUF ? BUF : A(6, BUF));
  else if (!strcmp(v[1], "download")) bulk("download", 0, 0, port, A(3, 1), A(4, 1e8), A(5, 30), BUF);
  else if (!strcmp(v[1], "verify")) { bulk("verify_up", 1, 1, port, A(3, 1), A(4, 1e8), A(5, 30), BUF); bulk("verify_down", 0, 1, port, A(3, 1), A(4, 1e8), A(5, 30), BUF); }
  else if (!strcmp(v[1], "ping")) ping(port, A(3, 1), A(4, 10000), A(5, 64), A(6, 30), A(7, 0));
  else if (!strcmp(v[1], "connrate")) connrate(port, A(3, 50), A(4, 2000), A(5, 30));
  else if (!strcmp(v[1], "idle")) idle(port, A(3, 1000), A(4, 3), A(5, 60), A(6, 1));
  else if (!strcmp(v[1], "flows")) flows(port, A(3, 1), A(4, 2), A(5, 3), A(6, 1), A(7, 60));
  else die("mode"); return 0;
}
