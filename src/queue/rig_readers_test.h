// SPDX-License-Identifier: Apache-2.0
//
// What happens to a test's queues: publishing, consumers that note what they are given, settling,
// gets, counts. Included once.
#ifndef WEIR_QUEUE_RIG_READERS_TEST_H
#define WEIR_QUEUE_RIG_READERS_TEST_H

#include "queue/rig_test.h"

// ---- publishing: messages of a batch, bodies "text0", "text1" …

struct rig_publish {
    int slot;
    uint32_t level;
    const char *text;
    int count;
    size_t pad; // bytes behind the text
    enum batch_codec codec;
    int64_t ttl_ms; // -1: none
    struct slice deaths;
    int64_t base_offset; // out
};

RIG void rig_publish_run(struct rig *r, void *arg)
{
    struct rig_publish *p = arg;
    struct buf out, scratch, body;
    struct batch_builder bb;
    struct batch batch;
    struct log_appended at;
    struct blob *blob;
    int64_t now_ms = io_wall_ms(r->shard);
    buf_init(&out, 64U << 20);
    buf_init(&scratch, 1U << 20);
    buf_init(&body, 16U << 20);
    batch_build_begin(&bb, &out, p->codec, now_ms);
    for (int i = 0; i < p->count; i++) {
        buf_clear(&body);
        buf_printf(&body, "%s%d", p->text, i);
        buf_put_zero(&body, p->pad);
        const struct message m = {.exchange = slice_cstr("ex"),
                                  .routing_key = slice_cstr("key"),
                                  .body = buf_slice(&body),
                                  .deaths = p->deaths,
                                  .published_ms = now_ms,
                                  .expires_ms = p->ttl_ms < 0 ? -1 : now_ms + p->ttl_ms};
        message_put(&bb, &scratch, &m);
    }
    assert_int_equal(batch_build_end(&bb), 0);
    assert_int_equal(blob_create(out.len, NULL, &blob), 0);
    memcpy(blob->data, out.data, out.len);
    assert_int_equal(batch_check_from_client(buf_slice(&out), &batch), 0);
    assert_int_equal(log_append(r->slots[p->slot].logs[p->level],
                                (struct blob_piece){blob, 0, out.len}, &batch, 1, &at),
                     0);
    p->base_offset = at.base_offset;
    blob_unref(blob);
    buf_fini(&out);
    buf_fini(&scratch);
    buf_fini(&body);
}

RIG int64_t rig_publish_as(struct rig_publish *p)
{
    assert_true(rig_on(rig, rig_publish_run, p));
    rig_run_ms(rig, 20);
    return p->base_offset;
}

RIG int64_t rig_publish(int slot, uint32_t level, const char *text, int count)
{
    struct rig_publish p = {
        .slot = slot, .level = level, .text = text, .count = count, .ttl_ms = -1};
    return rig_publish_as(&p);
}

// ---- readers

struct rig_seen {
    int32_t level;
    int64_t offset;
    uint32_t deliveries;
    bool redelivered;
    char text[16];
};

struct rig_reader {
    struct queue_consumer c;
    struct rig_seen seen[RIG_SEEN_MAX];
    uint32_t count, parcels;
    uint32_t asked;  // `ready`
    uint32_t unused; // credit that came back
    uint32_t grant;  // given at once when asked
    bool cancelled;
    bool ack; // everything at once, and its credit again
    int attach_err;
};

RIG void rig_seen_set(struct rig_seen *seen, const struct queue_delivery *d)
{
    *seen = (struct rig_seen){.level = d->level,
                              .offset = d->offset,
                              .deliveries = d->deliveries,
                              .redelivered = d->redelivered};
    (void)snprintf(seen->text, sizeof seen->text, "%.*s",
                   (int)strnlen((const char *)d->message.body.data, d->message.body.len),
                   (const char *)d->message.body.data);
}

RIG void rig_deliver(struct queue_consumer *c, struct queue_delivery *deliveries, uint32_t count)
{
    struct rig_reader *r = CONTAINER_OF(c, struct rig_reader, c);
    assert_true(count > 0);
    r->parcels++;
    for (uint32_t i = 0; i < count; i++) {
        assert_true(r->count < RIG_SEEN_MAX);
        rig_seen_set(&r->seen[r->count++], &deliveries[i]);
        blob_unref(deliveries[i].blob);
        if (r->ack && !c->no_ack)
            queue_settle(c->queue, c->holder, deliveries[i].level, deliveries[i].offset,
                         QUEUE_ACKNOWLEDGE);
    }
    if (r->ack)
        queue_consumer_credit(c, count);
}

RIG void rig_ready(struct queue_consumer *c)
{
    struct rig_reader *r = CONTAINER_OF(c, struct rig_reader, c);
    r->asked++;
    queue_consumer_grant(c, r->grant);
}

RIG void rig_back(struct queue_consumer *c, uint32_t credit)
{
    CONTAINER_OF(c, struct rig_reader, c)->unused += credit;
}

RIG void rig_cancelled(struct queue_consumer *c)
{
    assert_null(c->queue);
    CONTAINER_OF(c, struct rig_reader, c)->cancelled = true;
}

RIG void rig_reader_init(struct rig_reader *r, uint64_t holder, uint32_t credit)
{
    memset(r, 0, sizeof *r);
    r->c = (struct queue_consumer){.holder = holder,
                                   .credit = credit,
                                   .deliver = rig_deliver,
                                   .ready = rig_ready,
                                   .unused = rig_back,
                                   .cancelled = rig_cancelled};
}

struct rig_pair {
    int slot;
    struct rig_reader *reader;
    uint32_t number;
};

RIG void rig_attach_run(struct rig *r, void *arg)
{
    struct rig_pair *p = arg;
    p->reader->attach_err = queue_consumer_attach(r->slots[p->slot].queue, &p->reader->c);
}

RIG int rig_attach(int slot, struct rig_reader *reader)
{
    struct rig_pair p = {slot, reader, 0};
    assert_true(rig_on(rig, rig_attach_run, &p));
    rig_run_ms(rig, 20);
    return reader->attach_err;
}

RIG void rig_detach_run(struct rig *r, void *arg)
{
    (void)r;
    queue_consumer_detach(&((struct rig_reader *)arg)->c);
}

RIG void rig_detach(struct rig_reader *reader)
{
    assert_true(rig_on(rig, rig_detach_run, reader));
    rig_run_ms(rig, 20);
}

RIG void rig_credit_run(struct rig *r, void *arg)
{
    struct rig_pair *p = arg;
    (void)r;
    queue_consumer_credit(&p->reader->c, p->number);
}

RIG void rig_grant_run(struct rig *r, void *arg)
{
    struct rig_pair *p = arg;
    (void)r;
    queue_consumer_grant(&p->reader->c, p->number);
}

RIG void rig_credit(struct rig_reader *reader, uint32_t more)
{
    struct rig_pair p = {0, reader, more};
    assert_true(rig_on(rig, rig_credit_run, &p));
    rig_run_ms(rig, 20);
}

struct rig_settle {
    int slot;
    uint64_t holder;
    int32_t level;
    int64_t from, to; // both included
    enum queue_outcome outcome;
};

RIG void rig_settle_run(struct rig *r, void *arg)
{
    const struct rig_settle *s = arg;
    for (int64_t i = s->from; i <= s->to; i++)
        queue_settle(r->slots[s->slot].queue, s->holder, s->level, i, s->outcome);
}

RIG void rig_settle(int slot, uint64_t holder, int64_t from, int64_t to, enum queue_outcome outcome)
{
    struct rig_settle s = {slot, holder, 0, from, to, outcome};
    assert_true(rig_on(rig, rig_settle_run, &s));
    rig_run_ms(rig, 20);
}

struct rig_stats {
    int slot;
    struct queue_stats stats;
};

RIG void rig_stats_run(struct rig *r, void *arg)
{
    struct rig_stats *s = arg;
    struct queue *q = r->slots[s->slot].queue;
    queue_stats(q, &s->stats);
    for (uint32_t i = 0; i < q->levels_count; i++)
        lease_check(&q->levels[i].set);
}

RIG struct queue_stats rig_stats(int slot)
{
    struct rig_stats s = {.slot = slot};
    assert_true(rig_on(rig, rig_stats_run, &s));
    return s.stats;
}

// ---- one at a time

struct rig_get {
    struct queue_get g;
    struct rig_seen seen;
    uint64_t ready_left;
    int err;
    bool done;
    int slot;
};

RIG void rig_got(struct queue_get *g, int err)
{
    struct rig_get *get = CONTAINER_OF(g, struct rig_get, g);
    get->err = err;
    get->done = true;
    get->ready_left = g->ready_left;
    if (err == 0) {
        rig_seen_set(&get->seen, &g->delivery);
        blob_unref(g->delivery.blob);
    }
}

RIG void rig_get_run(struct rig *r, void *arg)
{
    struct rig_get *get = arg;
    queue_get(r->slots[get->slot].queue, &get->g);
}

RIG int rig_get(int slot, struct rig_get *get, uint64_t holder, bool no_ack)
{
    *get =
        (struct rig_get){.slot = slot, .g = {.holder = holder, .no_ack = no_ack, .done = rig_got}};
    assert_true(rig_on(rig, rig_get_run, get));
    rig_run_ms(rig, 50);
    assert_true(get->done);
    return get->err;
}

RIG void expect_texts(const struct rig_reader *r, uint32_t from, const char *text, int first,
                      uint32_t count)
{
    assert_true(r->count >= from + count);
    for (uint32_t i = 0; i < count; i++) {
        char want[16];
        (void)snprintf(want, sizeof want, "%s%d", text, first + (int)i);
        assert_string_equal(r->seen[from + i].text, want);
    }
}

#endif
