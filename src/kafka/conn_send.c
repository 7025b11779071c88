// SPDX-License-Identifier: Apache-2.0
//
// Sending: the answers at the head of the queue that are ready, several in one system call. An
// answer is a list of runs: encoded bytes, and pieces of record blobs between them, which go from
// the log's tail to the socket without a copy.
#include "kafka/conn.h"

#define SEND_RUNS 64

bool kafka_conn_sending(const struct kafka_conn *conn)
{
    struct list *first = list_first(&conn->requests);
    return first != NULL &&
           CONTAINER_OF(first, struct kafka_request, link)->progress == REQUEST_ANSWERED;
}

static int conn_gather(struct kafka_conn *conn, struct iovec *iov)
{
    int count = 0;
    LIST_FOR (it, &conn->requests) {
        struct kafka_request *r = CONTAINER_OF(it, struct kafka_request, link);
        if (r->progress != REQUEST_ANSWERED)
            break;
        for (uint32_t i = r->iov_next; i < r->iov_count && count < SEND_RUNS; i++)
            iov[count++] = r->iov[i];
        if (r->close_after || count == SEND_RUNS)
            break;
    }
    ASSERT(count <= SEND_RUNS);
    return count;
}

// Takes `len` sent bytes off the answers; frees those that are done. False: close behind this one.
static bool conn_sent(struct kafka_conn *conn, size_t len)
{
    LIST_FOR_SAFE (it, &conn->requests) {
        struct kafka_request *r = CONTAINER_OF(it, struct kafka_request, link);
        if (r->progress != REQUEST_ANSWERED)
            break;
        while (r->iov_next < r->iov_count) {
            struct iovec *run = &r->iov[r->iov_next];
            if (run->iov_len > len) {
                run->iov_base = (uint8_t *)run->iov_base + len;
                run->iov_len -= len;
                return true;
            }
            len -= run->iov_len;
            r->iov_next++;
            ASSERT(r->iov_next <= r->iov_count);
        }
        bool last = r->close_after;
        ASSERT(conn->requests_count > 0);
        list_remove(&r->link);
        conn->requests_count--;
        kafka_request_free(r);
        if (last)
            return false;
    }
    ASSERT(len == 0);
    return true;
}

bool kafka_conn_send(struct kafka_conn *conn)
{
    struct iovec iov[SEND_RUNS];
    for (;;) {
        int count = conn_gather(conn, iov);
        if (count == 0) // answers without bytes (acks 0) leave all the same
            return conn_sent(conn, 0);
        int64_t n = io_send(conn->sock, iov, count);
        if (n == ERR_AGAIN)
            return true;
        if (n < 0)
            return false;
        ASSERT((uint64_t)n <= conn->unsent_bytes);
        conn->unsent_bytes -= (uint64_t)n;
        conn->active_ns = io_now_ns(conn->door->io);
        conn->since_ns = conn->state == CONN_DRAIN ? conn->since_ns : conn->active_ns;
        shard_counters(conn->door->shard)->bytes_out += (uint64_t)n;
        if (!conn_sent(conn, (size_t)n))
            return false;
    }
}
