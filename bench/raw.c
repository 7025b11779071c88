// SPDX-License-Identifier: Apache-2.0
//
// See raw.h. The record batch is made with a bitwise CRC-32C: it is hashed once per run, a table
// would be longer than the saving. Answers are read at fixed distances, as far as the error code,
// and not parsed any further.
#include "raw.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void put(struct raw_buf *b, const void *bytes, size_t n)
{
    if (n > RAW_MAX - b->len_bytes)
        abort();
    memcpy(b->data + b->len_bytes, bytes, n);
    b->len_bytes += n;
}

static void put_int(struct raw_buf *b, int64_t v, int width_bytes)
{
    for (int shift = (width_bytes - 1) * 8; shift >= 0; shift -= 8)
        put(b, &(unsigned char){(unsigned char)((uint64_t)v >> shift)}, 1);
}

static void put_str(struct raw_buf *b, const char *s)
{
    put_int(b, (int64_t)strlen(s), 2);
    put(b, s, strlen(s));
}

static int64_t get_int(const unsigned char *at, int width_bytes)
{
    uint64_t v = at[0] & 0x80 ? UINT64_MAX : 0;
    for (int i = 0; i < width_bytes; i++)
        v = v << 8 | at[i];
    return (int64_t)v;
}

static void set_int(unsigned char *at, int64_t v, int width_bytes)
{
    for (int i = 0; i < width_bytes; i++)
        at[i] = (unsigned char)((uint64_t)v >> ((width_bytes - 1 - i) * 8));
}

static void begin(struct raw_buf *b, int api, int version)
{
    b->len_bytes = 0;
    put_int(b, 0, 4); // the frame's length, set when it is sent
    put_int(b, api, 2);
    put_int(b, version, 2);
    put_int(b, 7, 4);
    put_str(b, "bench");
}

int raw_connect(int port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr)) {
        close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static int read_all(int fd, unsigned char *at, size_t n)
{
    while (n) {
        ssize_t got = recv(fd, at, n, 0);
        if (got <= 0)
            return -1;
        at += got;
        n -= (size_t)got;
    }
    return 0;
}

int raw_exchange(int fd, struct raw_buf *request, struct raw_buf *out)
{
    unsigned char head[4];
    set_int(request->data, (int64_t)request->len_bytes - 4, 4);
    for (size_t sent = 0; sent < request->len_bytes;) {
        ssize_t n = send(fd, request->data + sent, request->len_bytes - sent, MSG_NOSIGNAL);
        if (n <= 0)
            return -1;
        sent += (size_t)n;
    }
    if (read_all(fd, head, sizeof head))
        return -1;
    int64_t len = get_int(head, 4);
    if (len < 4 || len > RAW_MAX || read_all(fd, out->data, (size_t)len))
        return -1;
    out->len_bytes = (size_t)len;
    return 0;
}

void raw_metadata(struct raw_buf *b)
{
    begin(b, 3, 1);
    put_int(b, -1, 4); // null: all topics
}

void raw_create_topic(struct raw_buf *b, const char *topic, int partitions)
{
    begin(b, 19, 2);
    put_int(b, 1, 4);
    put_str(b, topic);
    put_int(b, partitions, 4);
    put_int(b, 1, 2); // replication factor
    put_int(b, 0, 4);
    put_int(b, 0, 4);
    put_int(b, 30000, 4);
    put_int(b, 0, 1);
}

static int error_at(const struct raw_buf *answer, size_t at)
{
    return at + 2 <= answer->len_bytes ? (int)get_int(answer->data + at, 2) : -1;
}

int raw_create_error(const struct raw_buf *answer, const char *topic)
{
    return error_at(answer, 4 + 4 + 4 + 2 + strlen(topic)); // correlation, throttle, count, name
}

static uint32_t crc32c(const unsigned char *at, size_t n)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < n; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82f63b78u & -(crc & 1));
    }
    return ~crc;
}

static void put_batch(struct raw_buf *b)
{
    static const unsigned char record[] = {7 << 1, 0,   0, 0, 1,
                                           1 << 1, 'v', 0}; // null key, value "v", no headers
    size_t at = b->len_bytes;
    int64_t now_ms = (int64_t)time(NULL) * 1000;
    put_int(b, 0, 8);                       // base offset
    put_int(b, 61 - 12 + sizeof record, 4); // length of what follows
    put_int(b, -1, 4);                      // leader epoch
    put_int(b, 2, 1);                       // magic
    put_int(b, 0, 4);                       // crc, below
    put_int(b, 0, 2);                       // attributes
    put_int(b, 0, 4);                       // last offset delta
    put_int(b, now_ms, 8);
    put_int(b, now_ms, 8);
    put_int(b, -1, 8); // producer id, epoch, sequence: none
    put_int(b, -1, 2);
    put_int(b, -1, 4);
    put_int(b, 1, 4);
    put(b, record, sizeof record);
    set_int(b->data + at + 17, crc32c(b->data + at + 21, b->len_bytes - at - 21), 4);
}

void raw_produce(struct raw_buf *b, const char *topic)
{
    begin(b, 0, 3);
    put_int(b, -1, 2); // no transactional id
    put_int(b, -1, 2); // acks=all
    put_int(b, 30000, 4);
    put_int(b, 1, 4);
    put_str(b, topic);
    put_int(b, 1, 4);
    put_int(b, 0, 4);
    size_t at = b->len_bytes;
    put_int(b, 0, 4);
    put_batch(b);
    set_int(b->data + at, (int64_t)(b->len_bytes - at - 4), 4);
}

int raw_produce_error(const struct raw_buf *answer, const char *topic)
{
    return error_at(answer, 4 + 4 + 2 + strlen(topic) + 4 +
                                4); // correlation, count, name, count, partition
}
