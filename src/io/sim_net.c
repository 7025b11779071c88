// SPDX-License-Identifier: Apache-2.0
//
// The simulated network: connections and the packets between their two ends. A packet is an event
// at the receiving end; an end's packets arrive in the order they were sent. What reaches an end
// that is gone is answered with a reset, which is how a half-open connection is found out.
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/sim_int.h"

struct packet {
    struct sim_event event;
    struct sim_conn *conn;
    int to;
    enum sim_packet_kind kind;
    int error;
    size_t len;
    uint8_t data[];
};

struct sim_conn *sim_conn_create(struct sim *sim)
{
    struct sim_conn *conn = mem_zalloc(sizeof *conn);
    conn->sim = sim;
    conn->uid = sim->next_uid++;
    conn->window = (size_t)2048 << sim_random(sim, 6);
    list_init(&conn->ends[0].queue_link);
    list_init(&conn->ends[1].queue_link);
    list_push_back(&sim->conns, &conn->link);
    return conn;
}

static void conn_free(struct sim_conn *conn)
{
    list_remove(&conn->link);
    mem_free(conn->ends[0].buf);
    mem_free(conn->ends[1].buf);
    mem_free(conn);
}

void sim_conn_settle(struct sim_conn *conn)
{
    if (conn->packets == 0 && conn->ends[0].gone && conn->ends[1].gone)
        conn_free(conn);
}

static void mark(const struct sim_end *end)
{
    if (end->sock != NULL)
        sim_sock_mark(end->sock);
}

static void end_error(struct sim_end *end, int error)
{
    if (end->error == 0)
        end->error = error;
    mark(end);
}

static void end_data(struct sim_end *end, const uint8_t *data, size_t len)
{
    if (end->cap - end->len < len) {
        if (end->head > 0) {
            memmove(end->buf, end->buf + end->head, end->len - end->head);
            end->len -= end->head;
            end->head = 0;
        }
        if (end->cap - end->len < len) {
            end->cap = (end->len + len) * 2;
            end->buf = mem_realloc(end->buf, end->cap);
        }
    }
    memcpy(end->buf + end->len, data, len);
    end->len += len;
    mark(end);
}

// ---- arrival

static bool serves(const struct io_addr *listening, const struct io_addr *to)
{
    static const uint8_t none[16];
    if (listening->port != to->port || io_addr_is_v4(listening) != io_addr_is_v4(to))
        return false;
    size_t at = io_addr_is_v4(to) ? 12 : 0;
    return memcmp(listening->ip + at, none, 16 - at) == 0 || memcmp(listening->ip, to->ip, 16) == 0;
}

// One of the listeners that serve the address, as the kernel's hash would choose.
static struct sim_sock *find_listener(struct sim *sim, const struct io_addr *to)
{
    struct sim_sock *found = NULL;
    uint64_t count = 0;
    LIST_FOR (it, &sim->listeners) {
        struct sim_sock *listener = CONTAINER_OF(it, struct sim_sock, net_link);
        if (serves(&listener->addr, to) && sim_random(sim, ++count) == 0)
            found = listener;
    }
    return found;
}

static void on_syn(struct sim *sim, struct sim_conn *conn)
{
    struct sim_end *end = &conn->ends[1];
    struct sim_sock *listener = find_listener(sim, &end->addr);
    if (listener == NULL || listener->queued >= listener->backlog ||
        sim_fault(sim, SIM_FAULT_REFUSED)) {
        end->gone = true;
        sim_packet(conn, 0, PACKET_RST, ERR_REFUSED, NULL, 0);
        return;
    }
    conn->established = true;
    end->queue = listener;
    listener->queued++;
    list_push_back(&listener->queue, &end->queue_link);
    sim_packet(conn, 0, PACKET_SYNACK, 0, NULL, 0);
    if (sim_fault(sim, SIM_FAULT_ACCEPT_DELAY))
        sim_packet(conn, 1, PACKET_ACCEPT, 0, NULL, 0);
    else
        sim_sock_mark(listener);
}

static void arrive(struct sim *sim, struct packet *p)
{
    struct sim_conn *conn = p->conn;
    struct sim_end *end = &conn->ends[p->to];
    if (p->kind == PACKET_SYN) {
        on_syn(sim, conn);
        return;
    }
    if (end->gone) {
        if (p->kind == PACKET_DATA)
            sim_packet(conn, 1 - p->to, PACKET_RST, ERR_RESET, NULL, 0);
        return;
    }
    switch (p->kind) {
    case PACKET_DATA:
        end_data(end, p->data, p->len);
        break;
    case PACKET_FIN:
        end->fin = true;
        mark(end);
        break;
    case PACKET_RST:
        end_error(end, p->error);
        break;
    case PACKET_ACCEPT:
        if (end->queue != NULL)
            sim_sock_mark(end->queue);
        break;
    case PACKET_SYN:
    case PACKET_SYNACK:
    case PACKET_ROOM:
        mark(end);
        break;
    }
}

static void packet_run(struct sim *sim, struct sim_event *event)
{
    struct packet *p = CONTAINER_OF(event, struct packet, event);
    struct sim_conn *conn = p->conn;
    // A broken connection passes nothing but the time-out that tells of it.
    if (!conn->broken || p->kind == PACKET_RST || p->kind == PACKET_ACCEPT)
        arrive(sim, p);
    mem_free(p);
    conn->packets--;
    sim_conn_settle(conn);
}

void sim_packet(struct sim_conn *conn, int to, enum sim_packet_kind kind, int error,
                const struct iovec *iov, size_t len)
{
    struct sim *sim = conn->sim;
    struct sim_end *end = &conn->ends[to];
    if (conn->cut && kind != PACKET_RST)
        return;
    struct packet *p = mem_alloc(sizeof *p + len);
    memset(p, 0, sizeof *p);
    p->event.run = packet_run;
    p->conn = conn;
    p->to = to;
    p->kind = kind;
    p->error = error;
    p->len = len;
    for (size_t done = 0; done < len; iov++) {
        size_t n = iov->iov_len < len - done ? iov->iov_len : len - done;
        if (n > 0)
            memcpy(p->data + done, iov->iov_base, n);
        done += n;
    }
    int64_t at_ns = sim->running != NULL ? sim->running->clock_ns : sim->now_ns;
    at_ns += sim_between(sim, 10 * SIM_US, 200 * SIM_US) + sim_long_delay(sim);
    if (kind == PACKET_ACCEPT)
        at_ns += sim_between(sim, SIM_MS, 2000 * (int64_t)SIM_MS);
    else if (kind == PACKET_RST && error == ERR_TIMEOUT)
        at_ns += sim_between(sim, 1000 * (int64_t)SIM_MS, 20000 * (int64_t)SIM_MS);
    else if (at_ns < end->last_arrival_ns)
        at_ns = end->last_arrival_ns;
    else
        end->last_arrival_ns = at_ns;
    conn->packets++;
    sim_schedule(sim, &p->event, at_ns);
}

// ---- ends

// The side's owner will never look again. Frees nothing: sim_conn_settle does.
void sim_end_gone(struct sim_conn *conn, int side)
{
    struct sim_end *end = &conn->ends[side];
    end->gone = true;
    end->sock = NULL;
    if (end->queue != NULL) {
        end->queue->queued--;
        end->queue = NULL;
        list_remove(&end->queue_link);
    }
}

// At the end of the universe: packets that never arrived go with their connections.
void sim_net_free(struct sim *sim)
{
    for (struct heap_node *node; (node = heap_min(&sim->events)) != NULL;) {
        struct sim_event *event = CONTAINER_OF(node, struct sim_event, node);
        heap_remove(&sim->events, node);
        if (event->run != packet_run)
            continue;
        struct packet *p = CONTAINER_OF(event, struct packet, event);
        p->conn->packets--;
        mem_free(p);
    }
    LIST_FOR_SAFE (it, &sim->conns)
        conn_free(CONTAINER_OF(it, struct sim_conn, link));
}
