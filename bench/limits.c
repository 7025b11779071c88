// SPDX-License-Identifier: Apache-2.0
//
// What the machine itself can do, measured in the same run as the servers, so that their figures
// can be read against it: the latency of one sync by the three ways a journal may write, sequential
// writing with one sync at the end, loopback TCP, copying, CRC-32C. fio and iperf were rejected to
// keep the list of packages short.
//   limits FOLDER [quick]
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 1 << 20, FILE_BYTES = 64 << 20, ALIGN = 4096 };

static char *block;
static int syncs = 2000;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(int ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    exit(1);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

enum way { APPEND, OVERWRITE, DIRECT };

static void sync_latency(const char *path, enum way way, size_t bytes, const char *name)
{
    double *ms = malloc((size_t)syncs * sizeof *ms);
    int flags =
        O_RDWR | O_CREAT | (way == APPEND ? O_TRUNC : 0) | (way == DIRECT ? O_DIRECT | O_DSYNC : 0);
    int fd = open(path, flags, 0600);
    must(ms && fd >= 0, path);
    for (int i = 0; i < syncs; i++) {
        off_t at = (off_t)((size_t)i * bytes % (way == APPEND ? SIZE_MAX : FILE_BYTES));
        double start = now_s();
        must(pwrite(fd, block, bytes, at) == (ssize_t)bytes, "pwrite");
        must(way == DIRECT || fdatasync(fd) == 0, "fdatasync");
        ms[i] = (now_s() - start) * 1e3;
    }
    close(fd);
    qsort(ms, (size_t)syncs, sizeof *ms, by_size);
    printf("%s_p50_ms\t%.3f\n%s_p99_ms\t%.3f\n", name, ms[syncs / 2], name, ms[syncs * 99 / 100]);
    free(ms);
}

static void sequential(const char *path, int blocks, const char *name)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    must(fd >= 0, path);
    double start = now_s();
    for (int i = 0; i < blocks; i++)
        must(write(fd, block, BLOCK) == BLOCK, "write");
    must(fdatasync(fd) == 0, "fdatasync");
    if (name)
        printf("%s\t%.0f\n", name, blocks * 1.048576 / (now_s() - start));
    close(fd);
}

static void *sink(void *arg)
{
    char *to = malloc(BLOCK);
    while (to && recv(*(int *)arg, to, BLOCK, 0) > 0)
        ;
    free(to);
    return NULL;
}

static void loopback(double seconds)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    int listener = socket(AF_INET, SOCK_STREAM, 0), out = socket(AF_INET, SOCK_STREAM, 0);
    must(bind(listener, (struct sockaddr *)&addr, sizeof addr) == 0 && listen(listener, 1) == 0,
         "listen");
    must(getsockname(listener, (struct sockaddr *)&addr, &len) == 0, "getsockname");
    must(connect(out, (struct sockaddr *)&addr, sizeof addr) == 0, "connect");
    int in = accept(listener, NULL, NULL);
    pthread_t thread;
    must(in >= 0 && pthread_create(&thread, NULL, sink, &in) == 0, "accept");
    double start = now_s(), sent = 0;
    while (now_s() - start < seconds)
        sent += (double)send(out, block, 256 << 10, 0);
    printf("loopback_gb_s\t%.2f\n", sent / 1e9 / (now_s() - start));
    close(out);
    pthread_join(thread, NULL);
    close(in);
    close(listener);
}

static void copying(double seconds)
{
    size_t n = 64 << 20;
    char *from = malloc(n), *to = malloc(n);
    must(from && to, "malloc");
    memset(from, 1, n);
    memset(to, 2, n);
    double start = now_s(), bytes = 0;
    while (now_s() - start < seconds) {
        memcpy(to, from, n);
        __asm__ volatile("" : : "r"(to) : "memory");
        bytes += (double)n;
    }
    printf("memcpy_gb_s\t%.1f\n", bytes / 1e9 / (now_s() - start));
    free(from);
    free(to);
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint64_t crc_of(const char *at, size_t n)
{
    uint64_t crc = ~0u, word;
    for (; n >= 8; at += 8, n -= 8) {
        memcpy(&word, at, 8);
        crc = __builtin_ia32_crc32di(crc, word);
    }
    return crc;
}

// One stream of the processor's own instruction; interleaving three makes it up to three times as
// fast.
static void hashing(double seconds)
{
    double start = now_s(), bytes = 0;
    uint64_t all = 0;
    if (!__builtin_cpu_supports("sse4.2"))
        return;
    for (; now_s() - start < seconds; bytes += BLOCK)
        all += crc_of(block, BLOCK);
    __asm__ volatile("" : : "r"(all));
    printf("crc32c_one_stream_gb_s\t%.1f\n", bytes / 1e9 / (now_s() - start));
}
#else
static void hashing(double seconds)
{
    (void)seconds;
}
#endif

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        enum way way;
        size_t bytes;
    } runs[] = {{"append_4k", APPEND, 4 << 10},         {"append_64k", APPEND, 64 << 10},
                {"append_256k", APPEND, 256 << 10},     {"overwrite_4k", OVERWRITE, 4 << 10},
                {"overwrite_64k", OVERWRITE, 64 << 10}, {"overwrite_256k", OVERWRITE, 256 << 10},
                {"direct_4k", DIRECT, 4 << 10},         {"direct_64k", DIRECT, 64 << 10},
                {"direct_256k", DIRECT, 256 << 10}};
    char path[4096];
    must(argc >= 2 && posix_memalign((void **)&block, ALIGN, BLOCK) == 0, "limits FOLDER [quick]");
    double seconds = argc > 2 ? 0.3 : 1;
    syncs = argc > 2 ? 300 : syncs;
    memset(block, 'x', BLOCK);
    snprintf(path, sizeof path, "%s/limits.tmp", argv[1]);
    sequential(path, argc > 2 ? 128 : 1024, "write_then_sync_mb_s");
    for (size_t i = 0; i < 3; i++)
        sync_latency(path, runs[i].way, runs[i].bytes, runs[i].name);
    sequential(path, FILE_BYTES / BLOCK, NULL); // what follows overwrites this file
    for (size_t i = 3; i < sizeof runs / sizeof *runs; i++)
        sync_latency(path, runs[i].way, runs[i].bytes, runs[i].name);
    unlink(path);
    loopback(seconds);
    copying(seconds);
    hashing(seconds);
    free(block);
    return 0;
}
