// SPDX-License-Identifier: Apache-2.0
//
// Sockets of simulated loops: what an actor holds of a connection or a listener. Level-triggered
// like the real ones: a socket that is ready and watched stays in its actor's ready list, and as
// long as it is there the actor takes another turn.
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "io/sim_int.h"

#define ACCEPT_MAX 64

struct sim_sock *sim_sock_create(struct sim_io *io, struct sim_conn *conn, int side)
{
    struct sim_sock *sock = mem_zalloc(sizeof *sock);
    sock->base.ops = &sim_ops;
    sock->io = io;
    sock->conn = conn;
    sock->side = side;
    list_init(&sock->ready_link);
    list_init(&sock->net_link);
    list_init(&sock->queue);
    list_push_back(&io->socks, &sock->link);
    if (conn != NULL)
        conn->ends[side].sock = sock;
    return sock;
}

static struct sim_end *own_end(const struct sim_sock *sock)
{
    return &sock->conn->ends[sock->side];
}

static size_t room(const struct sim_sock *sock)
{
    size_t used = sock->conn->ends[1 - sock->side].window_used;
    return used < sock->conn->window ? sock->conn->window - used : 0;
}

static int ready_mask(const struct sim_sock *sock)
{
    int mask = 0;
    if (sock->listening)
        return list_empty(&sock->queue) ? 0 : IO_READABLE;
    if (sock->conn == NULL)
        return 0;
    const struct sim_end *end = own_end(sock);
    if (end->error != 0) // shows whatever is watched
        return IO_READABLE | (sock->mask & IO_WRITABLE);
    if (end->len > end->head || end->fin)
        mask |= IO_READABLE;
    if (sock->conn->established && room(sock) > 0)
        mask |= IO_WRITABLE;
    return mask;
}

// What it is to be told now.
static int due_mask(const struct sim_sock *sock)
{
    int ready = ready_mask(sock);
    if (sock->conn != NULL && own_end(sock)->error != 0 && sock->mask != 0)
        return ready;
    return ready & sock->mask;
}

void sim_sock_mark(struct sim_sock *sock)
{
    if (sock->io->base.dead || due_mask(sock) == 0)
        return;
    if (list_empty(&sock->ready_link))
        list_push_back(&sock->io->ready, &sock->ready_link);
    sim_actor_wake(sock->io, sock->io->sim->now_ns);
}

static void accept_ready(struct sim_sock *listener)
{
    struct sim_io *io = listener->io;
    io->accepting = listener; // sim_close takes it away when the callee closes the listener
    for (int i = 0; i < ACCEPT_MAX && io->accepting == listener; i++) {
        struct list *first = list_pop_front(&listener->queue);
        if (first == NULL)
            break;
        struct sim_end *end = CONTAINER_OF(first, struct sim_end, queue_link);
        struct sim_conn *conn = CONTAINER_OF(end, struct sim_conn, ends[1]);
        struct io_addr peer = conn->ends[0].addr;
        end->queue = NULL;
        listener->queued--;
        struct sim_sock *sock = sim_sock_create(io, conn, 1);
        sim_fact(io->sim, FACT_ACCEPT, conn->uid, 0, 0);
        listener->accept(listener->owner, &sock->base, &peer);
    }
    io->accepting = NULL;
}

bool sim_socks_ready(struct sim_io *io)
{
    bool ran = false;
    size_t count = 0;
    LIST_FOR (it, &io->ready)
        count++;
    while (count-- > 0 && !list_empty(&io->ready)) {
        struct sim_sock *sock =
            CONTAINER_OF(list_pop_front(&io->ready), struct sim_sock, ready_link);
        int mask = due_mask(sock);
        if (mask == 0)
            continue;
        // Level-triggered: it goes behind the others and is looked at again next turn.
        list_push_back(&io->ready, &sock->ready_link);
        ran = true;
        if (sock->listening)
            accept_ready(sock);
        else if (sock->events != NULL)
            sock->events->ready(sock->owner, mask);
    }
    LIST_FOR_SAFE (it, &io->ready) {
        if (due_mask(CONTAINER_OF(it, struct sim_sock, ready_link)) == 0)
            list_remove(it);
    }
    return ran;
}

// ---- listening and connecting

static int check_free(struct sim_io *io, const struct io_addr *addr)
{
    LIST_FOR (it, &io->sim->listeners) {
        const struct sim_sock *other = CONTAINER_OF(it, struct sim_sock, net_link);
        if (other->addr.port == addr->port && memcmp(other->addr.ip, addr->ip, 16) == 0 &&
            other->io->world != io->world)
            return ERR_ADDRESS_IN_USE;
    }
    return 0;
}

int sim_listen(struct io *base, const struct io_listen_options *options, struct io_sock **out)
{
    struct sim_io *io = (struct sim_io *)base;
    struct io_addr addr = options->addr;
    if (base->dead)
        return ERR_STOPPED;
    if (addr.port == 0)
        addr.port = io->sim->next_port++;
    int rc = check_free(io, &addr);
    sim_fact(io->sim, FACT_LISTEN, addr.port, 0, rc);
    if (rc != 0)
        return rc;
    struct sim_sock *sock = sim_sock_create(io, NULL, 0);
    sock->listening = true;
    sock->addr = addr;
    sock->accept = options->accept;
    sock->owner = options->owner;
    sock->backlog = options->backlog > 0 ? options->backlog : 1;
    sock->mask = IO_READABLE;
    list_push_back(&io->sim->listeners, &sock->net_link);
    *out = &sock->base;
    return 0;
}

int sim_connect(struct io *base, const struct io_addr *addr, struct io_sock **out)
{
    struct sim_io *io = (struct sim_io *)base;
    if (base->dead)
        return ERR_STOPPED;
    struct sim_conn *conn = sim_conn_create(io->sim);
    io->sim->report.connects++;
    sim_fact(io->sim, FACT_CONNECT, conn->uid, addr->port, 0);
    conn->ends[1].addr = *addr;
    conn->ends[0].addr = *addr; // the same host; the port tells connections apart
    conn->ends[0].addr.port = io->sim->next_port++;
    if (io->sim->next_port == 0)
        io->sim->next_port = 40000;
    struct sim_sock *sock = sim_sock_create(io, conn, 0);
    sim_packet(conn, 1, PACKET_SYN, 0, NULL, 0);
    *out = &sock->base;
    return 0;
}

int sim_sock_addr(struct io_sock *base, struct io_addr *out)
{
    struct sim_sock *sock = (struct sim_sock *)base;
    if (sock->io->base.dead || (!sock->listening && sock->conn == NULL))
        return ERR_STOPPED;
    *out = sock->listening ? sock->addr : own_end(sock)->addr;
    return 0;
}

void sim_sock_own(struct io_sock *base, const struct io_sock_events *events, void *owner)
{
    struct sim_sock *sock = (struct sim_sock *)base;
    ASSERT(!sock->listening);
    sock->events = events;
    sock->owner = owner;
}

void sim_watch(struct io_sock *base, int mask)
{
    struct sim_sock *sock = (struct sim_sock *)base;
    if (sock->io->base.dead)
        return;
    sim_fact(sock->io->sim, FACT_WATCH, sock->conn != NULL ? sock->conn->uid : 0, 0, mask);
    sock->mask = mask;
    sim_sock_mark(sock);
}

// ---- bytes

static int64_t recv_result(struct sim_sock *sock, void *buf, size_t len)
{
    struct sim_conn *conn = sock->conn;
    struct sim *sim = conn->sim;
    struct sim_end *end = own_end(sock);
    size_t n = end->len - end->head;
    if (n == 0)
        return end->error != 0 ? end->error : end->fin ? ERR_EOF : ERR_AGAIN;
    n = n < len ? n : len;
    if (n > 1 && sim_fault(sim, SIM_FAULT_SHORT_IO))
        n = 1 + sim_random(sim, n - 1);
    bool was_full = end->window_used >= conn->window;
    memcpy(buf, end->buf + end->head, n);
    end->head += n;
    end->window_used -= n;
    if (end->head == end->len)
        end->head = end->len = 0;
    if (was_full && end->window_used < conn->window)
        sim_packet(conn, 1 - sock->side, PACKET_ROOM, 0, NULL, 0);
    return (int64_t)n;
}

int64_t sim_recv(struct io_sock *base, void *buf, size_t len)
{
    struct sim_sock *sock = (struct sim_sock *)base;
    if (sock->io->base.dead || sock->conn == NULL)
        return ERR_STOPPED;
    int64_t n = recv_result(sock, buf, len);
    sock->io->sim->report.recvs++;
    sim_fact(sock->io->sim, FACT_RECV, sock->conn->uid, len, n);
    if (n > 0)
        sim_trace(sock->io->sim, buf, (size_t)n);
    return n;
}

static void send_bytes(struct sim_sock *sock, const struct iovec *iov, size_t len)
{
    struct sim_conn *conn = sock->conn;
    struct sim *sim = conn->sim;
    int peer = 1 - sock->side;
    bool cut = sim_fault(sim, SIM_FAULT_CUT);
    size_t passed = cut ? sim_random(sim, len + 1) : len;
    conn->ends[peer].window_used += len;
    if (passed > 0)
        sim_packet(conn, peer, PACKET_DATA, 0, iov, passed);
    if (cut) {
        conn->cut = true;
        sim_packet(conn, peer, PACKET_RST, ERR_RESET, NULL, 0);
        sim_packet(conn, sock->side, PACKET_RST, ERR_RESET, NULL, 0);
    } else if (sim_fault(sim, SIM_FAULT_HALF_OPEN)) {
        conn->broken = true;
        sim_packet(conn, peer, PACKET_RST, ERR_TIMEOUT, NULL, 0);
        sim_packet(conn, sock->side, PACKET_RST, ERR_TIMEOUT, NULL, 0);
    }
}

static int64_t send_result(struct sim_sock *sock, const struct iovec *iov, size_t len)
{
    const struct sim_end *end = own_end(sock);
    if (end->error != 0)
        return end->error;
    if (!sock->conn->established)
        return ERR_AGAIN;
    size_t n = room(sock);
    n = n < len ? n : len;
    if (n == 0)
        return len == 0 ? 0 : ERR_AGAIN;
    if (n > 1 && sim_fault(sock->conn->sim, SIM_FAULT_SHORT_IO))
        n = 1 + sim_random(sock->conn->sim, n - 1);
    send_bytes(sock, iov, n);
    return (int64_t)n;
}

int64_t sim_send(struct io_sock *base, const struct iovec *iov, int iov_count)
{
    struct sim_sock *sock = (struct sim_sock *)base;
    if (sock->io->base.dead || sock->conn == NULL)
        return ERR_STOPPED;
    struct sim *sim = sock->io->sim;
    int64_t n = send_result(sock, iov, io_iov_len(iov, iov_count));
    sim->report.sends++;
    sim_fact(sim, FACT_SEND, sock->conn->uid, 0, n);
    size_t left = n > 0 ? (size_t)n : 0;
    sim->report.send_bytes += left;
    for (int i = 0; i < iov_count && left > 0; i++) {
        size_t part = iov[i].iov_len < left ? iov[i].iov_len : left;
        sim_trace(sim, iov[i].iov_base, part);
        left -= part;
    }
    return n;
}

// ---- ends

static void refuse_queue(struct sim_sock *listener)
{
    list_remove(&listener->net_link);
    while (!list_empty(&listener->queue)) {
        struct sim_end *end = CONTAINER_OF(listener->queue.next, struct sim_end, queue_link);
        struct sim_conn *conn = CONTAINER_OF(end, struct sim_conn, ends[1]);
        sim_end_gone(conn, 1);
        sim_packet(conn, 0, PACKET_RST, ERR_RESET, NULL, 0);
    }
}

void sim_sock_kill(struct sim_sock *sock)
{
    struct sim_conn *conn = sock->conn;
    list_remove(&sock->ready_link);
    if (sock->listening)
        refuse_queue(sock);
    sock->listening = false;
    sock->conn = NULL;
    if (conn == NULL)
        return;
    sim_end_gone(conn, sock->side);
    // A machine that lost its power says nothing: the other side finds out when it sends.
    if (sim_random(conn->sim, 2) == 0)
        sim_packet(conn, 1 - sock->side, PACKET_RST, ERR_RESET, NULL, 0);
    sim_conn_settle(conn);
}

void sim_close(struct io_sock *base)
{
    struct sim_sock *sock = (struct sim_sock *)base;
    struct sim_conn *conn = sock->conn;
    struct sim *sim = sock->io->sim;
    if (conn != NULL)
        sim_fact(sim, FACT_CLOSE, conn->uid, 0, 0);
    if (sock->listening)
        refuse_queue(sock);
    if (sock->io->accepting == sock)
        sock->io->accepting = NULL;
    if (conn != NULL) {
        // As in TCP: closing with unread bytes is a reset, otherwise an orderly end.
        bool unread = own_end(sock)->len > own_end(sock)->head;
        sim_end_gone(conn, sock->side);
        sim_packet(conn, 1 - sock->side, unread ? PACKET_RST : PACKET_FIN, ERR_RESET, NULL, 0);
    }
    list_remove(&sock->ready_link);
    list_remove(&sock->link);
    mem_free(sock);
}
