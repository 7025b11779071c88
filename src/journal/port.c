// SPDX-License-Identifier: Apache-2.0
//
// A shard's end of the journal. Frames gather in the open submission; a flush hands over everything
// as one parcel, one message, whatever the number of frames, and a parcel comes home as one message
// too. The port owns its submissions until their frames' done have run: when a shard dies with mail
// under way nothing is left that only a message pointed to.
#include <string.h>

#include "base/assert.h"
#include "base/bugs.h"
#include "base/err.h"
#include "base/mem.h"
#include "journal/journal_int.h"

// A turn that adds more than this is cut into several submissions, so that a group's limit can be
// kept: a group takes whole submissions.
#define SUBMISSION_BYTES (1024u * 1024)

static uint64_t submission_bytes(uint64_t file_bytes)
{
    return file_bytes / 8 < SUBMISSION_BYTES ? file_bytes / 8 : SUBMISSION_BYTES;
}

// What else a group with one submission holds: its own header and commit frame, the frames that
// came before the one that closed the submission, that one's header and head. Batches have short
// heads.
uint64_t journal_body_max(uint64_t file_bytes)
{
    uint64_t beside = WAL_GROUPS_AT + submission_bytes(file_bytes) + IO_BLOCK;
    return file_bytes > beside ? file_bytes - beside : 0;
}

uint64_t journal_bundle_max(uint64_t file_bytes)
{
    _Static_assert(JOURNAL_FRAME_BYTES == WAL_FRAME_HEADER, "what callers count");
    return (file_bytes - WAL_GROUPS_AT) / 2;
}

bool journal_starved(const struct journal_port *port)
{
    return atomic_load_explicit(&port->journal->starved, memory_order_relaxed);
}

static void lazy_due(struct io_timer *timer)
{
    struct journal_port *port = CONTAINER_OF(timer, struct journal_port, lazy);
    port->awaited = true;
    journal_flush(port);
}

struct journal_port *journal_port_create(struct journal *journal, uint32_t index, struct io *shard)
{
    ASSERT(index < journal->options.ports_count);
    struct journal_port *port = mem_zalloc(sizeof *port);
    port->journal = journal;
    port->shard = shard;
    port->index = index;
    journal->lanes[index].shard = shard;
    list_init(&port->ready);
    list_init(&port->owned);
    list_init(&port->barriers);
    io_timer_init(&port->lazy, lazy_due);
    return port;
}

static void frame_free(struct journal_frame *frame)
{
    blob_unref(frame->w.body.blob);
    mem_free(frame);
}

static void submission_free(struct journal_submission *s)
{
    for (struct list *it; (it = list_pop_front(&s->frames)) != NULL;)
        frame_free(CONTAINER_OF(it, struct journal_frame, link));
    list_remove(&s->owned);
    mem_free(s);
}

void journal_port_destroy(struct journal_port *port)
{
    if (port == NULL)
        return;
    for (struct list *it; (it = list_first(&port->owned)) != NULL;)
        submission_free(CONTAINER_OF(it, struct journal_submission, owned));
    mem_free(port);
}

static struct journal_submission *submission_create(struct journal_port *port)
{
    struct journal_submission *s = mem_zalloc(sizeof *s);
    s->port = port;
    list_init(&s->parcel);
    list_init(&s->link);
    list_init(&s->frames);
    list_push_back(&port->owned, &s->owned);
    return s;
}

static void port_close(struct journal_port *port)
{
    if (port->open == NULL)
        return;
    list_push_back(&port->ready, &port->open->link);
    port->open = NULL;
}

void journal_add(struct journal_port *port, const struct journal_write *write)
{
    ASSERT(write->kind != 0);
    ASSERT(write->kind != JOURNAL_COMMIT);
    ASSERT(write->head.len <= WAL_HEAD_MAX);
    ASSERT(write->body.len <= UINT32_MAX);
    if (write->target != NULL) {
        // Recovery tells the two apart by kind, and only batches have a reference.
        ASSERT(write->kind == JOURNAL_BATCH);
        ASSERT(write->ref_len <= write->body.len);
    }
    if (port->open == NULL)
        port->open = submission_create(port);
    struct journal_submission *s = port->open;

    struct journal_frame *frame = mem_alloc(sizeof *frame + write->head.len);
    *frame = (struct journal_frame){.w = *write};
    uint8_t *head = (uint8_t *)(frame + 1);
    if (write->head.len > 0)
        memcpy(head, write->head.data, write->head.len);
    frame->w.head = slice_of(head, write->head.len);
    if (write->body.blob != NULL)
        blob_ref(write->body.blob);
    else
        ASSERT(write->body.len == 0);

    list_push_back(&s->frames, &frame->link);
    port->awaited |= !write->lazy;
    s->frames_count++;
    s->bytes += wal_frame_bytes(write->head.len, write->body.len);
    port->added++;
    port->bytes += write->head.len + write->body.len;
    if (!port->in_bundle && s->bytes >= submission_bytes(port->journal->options.file_bytes))
        port_close(port);
}

void journal_bundle_begin(struct journal_port *port, uint64_t id, uint32_t parts)
{
    ASSERT(!port->in_bundle);
    ASSERT(parts >= 1);
    ASSERT(parts <= port->journal->options.ports_count);
    port_close(port);
    port->in_bundle = true;
    port->open = submission_create(port);
    port->open->bundle_id = id;
    port->open->bundle_parts = parts;
}

void journal_bundle_end(struct journal_port *port)
{
    ASSERT(port->in_bundle);
    ASSERT(port->open != NULL);
    ASSERT(port->open->bundle_parts != 0);
    port->in_bundle = false;
    port_close(port);
}

static void parcel_arrive(struct io_msg *msg) // on the journal's actor
{
    struct journal_submission *first = CONTAINER_OF(msg, struct journal_submission, msg);
    struct journal *journal = first->port->journal;
    struct list all;
    list_init(&all);
    list_splice_back(&all, &first->parcel);
    list_push_front(&all, &first->link);
    for (struct list *it; (it = list_pop_front(&all)) != NULL;)
        lane_arrive(journal, CONTAINER_OF(it, struct journal_submission, link));
}

// Lazy frames stay in the open submission. The timer is left running when something takes them
// along: at worst the next ones are handed over sooner than they had to be.
static bool port_lingers(struct journal_port *port)
{
    if (port->awaited || port->open == NULL || !list_empty(&port->ready))
        return false;
    if (!io_timer_running(&port->lazy))
        io_timer_start(port->shard, &port->lazy, io_now_ns(port->shard) + JOURNAL_LAZY_NS);
    return true;
}

void journal_flush(struct journal_port *port)
{
    ASSERT(!port->in_bundle); // a bundle's part is added within one turn
    if (port_lingers(port))
        return;
    port->awaited = false;
    port_close(port);
    struct list *it = list_pop_front(&port->ready);
    if (it == NULL)
        return;
    struct journal_submission *first = CONTAINER_OF(it, struct journal_submission, link);
    list_splice_back(&first->parcel, &port->ready);
    first->msg.run = parcel_arrive;
    io_post(port->journal->options.actor, &first->msg);
}

static void port_fire_barriers(struct journal_port *port)
{
    for (struct list *it; (it = list_first(&port->barriers)) != NULL;) {
        struct journal_barrier *barrier = CONTAINER_OF(it, struct journal_barrier, link);
        if (barrier->seq > port->finished)
            return;
        list_remove(it);
        barrier->fn(barrier, port->failed);
    }
}

static void barrier_run(struct io_msg *msg)
{
    struct journal_port *port = CONTAINER_OF(msg, struct journal_port, barrier_msg);
    port->barrier_posted = false;
    port_fire_barriers(port);
}

void journal_barrier(struct journal_port *port, struct journal_barrier *barrier)
{
    barrier->seq = port->added;
    port->awaited = true;
    list_push_back(&port->barriers, &barrier->link);
    if (port->added != port->finished || port->barrier_posted)
        return;
    port->barrier_posted = true;
    port->barrier_msg.run = barrier_run;
    io_post(port->shard, &port->barrier_msg);
}

uint64_t journal_port_bytes(const struct journal_port *port)
{
    return port->bytes;
}

static void frames_done(struct journal_submission *s)
{
    struct journal_port *port = s->port;
    LIST_FOR (it, &s->frames) {
        struct journal_frame *frame = CONTAINER_OF(it, struct journal_frame, link);
        ASSERT(s->err != 0 || frame->lsn != 0);
        uint64_t bytes = frame->w.head.len + frame->w.body.len;
        ASSERT(port->bytes >= bytes);
        ASSERT(port->finished < port->added);
        port->bytes -= bytes;
        port->finished++;
        if (frame->w.done != NULL)
            frame->w.done(frame->w.arg, frame, s->err);
    }
}

static void submission_finish(struct journal_submission *s)
{
    struct journal_port *port = s->port;
    if (s->err == ERR_SYNC)
        port->failed = ERR_SYNC;
    if (!s->answered)
        frames_done(s);
    submission_free(s);
    port_fire_barriers(port);
}

void submission_home(struct io_msg *msg)
{
    struct journal_submission *first = CONTAINER_OF(msg, struct journal_submission, msg);
    struct list all;
    list_init(&all);
    list_splice_back(&all, &first->parcel);
    list_push_front(&all, &first->link);
    for (struct list *it; (it = list_pop_front(&all)) != NULL;)
        submission_finish(CONTAINER_OF(it, struct journal_submission, link));
}

void submission_early(struct io_msg *msg)
{
    struct journal_submission *s = CONTAINER_OF(msg, struct journal_submission, early_msg);
    ASSERT(bug(BUG_EARLY_ACK));
    ASSERT(!s->answered);
    s->answered = true;
    frames_done(s);
    port_fire_barriers(s->port);
}
