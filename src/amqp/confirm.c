// SPDX-License-Identifier: Apache-2.0
//
// Class confirm, and the confirms themselves.
#include "amqp/confirm.h"

#include "base/mem.h"

enum run_state {
    RUN_OPEN,    // of this turn: takes further tags
    RUN_WAITING, // for its receipt
    RUN_DONE,    // confirmed or refused; stands until those before it are
};

struct amqp_confirm_run {
    struct list link;
    struct amqp_session *session;
    struct publish_receipt receipt;
    uint64_t first, last; // tags; last < first: none yet
    uint8_t state;
    int err;
};

static struct amqp_confirm_run *head(const struct amqp_session *s)
{
    struct list *it = list_first(&s->runs);
    return it == NULL ? NULL : CONTAINER_OF(it, struct amqp_confirm_run, link);
}

static void run_free(struct amqp_confirm_run *run)
{
    struct amqp_session *s = run->session;
    if (s->run == run)
        s->run = NULL;
    list_remove(&run->link);
    mem_free(run);
}

// ---- telling

static void tell(struct amqp_session *s, uint64_t tag, bool multiple, bool ack)
{
    if (ack)
        amqp_send(s->ch, AMQP_BASIC_ACK,
                  &(struct amqp_basic_ack){.delivery_tag = tag, .multiple = multiple});
    else
        amqp_send(s->ch, AMQP_BASIC_NACK,
                  &(struct amqp_basic_nack){.delivery_tag = tag, .multiple = multiple});
}

// All that stand at the head and are over: as few methods as their outcomes allow.
static void tell_head(struct amqp_session *s)
{
    struct amqp_confirm_run *run;
    while ((run = head(s)) != NULL && run->state == RUN_DONE) {
        uint64_t first = run->first, last = run->last;
        bool ack = run->err == 0;
        run_free(run);
        while ((run = head(s)) != NULL && run->state == RUN_DONE && (run->err == 0) == ack) {
            last = run->last;
            run_free(run);
        }
        ASSERT(first <= last);
        tell(s, last, first < last, ack);
    }
}

static void run_over(struct amqp_confirm_run *run, int err)
{
    struct amqp_session *s = run->session;
    ASSERT(run->state == RUN_WAITING);
    ASSERT(run->first <= run->last);
    run->state = RUN_DONE;
    run->err = err;
    if (head(s) == run) {
        tell_head(s);
        return;
    }
    for (uint64_t tag = run->first; tag <= run->last; tag++)
        tell(s, tag, false, err == 0);
    run_free(run);
}

static void receipt_done(struct publish_receipt *receipt)
{
    struct amqp_confirm_run *run = CONTAINER_OF(receipt, struct amqp_confirm_run, receipt);
    // A flight may leave, and be over, while its turn goes on: then there may be more to come.
    if (run->state == RUN_WAITING)
        run_over(run, receipt->err);
}

// ---- publishing

static struct amqp_confirm_run *run_new(struct amqp_session *s, struct list *before, uint8_t state)
{
    struct amqp_confirm_run *run = mem_zalloc(sizeof *run);
    run->session = s;
    run->receipt.done = receipt_done;
    run->state = state;
    run->first = s->published + 1;
    run->last = s->published;
    list_insert_before(before, &run->link);
    return run;
}

static bool run_empty(const struct amqp_confirm_run *run)
{
    return run->last < run->first;
}

// The turn is over, or a tag of another kind follows.
static void run_close(struct amqp_session *s)
{
    struct amqp_confirm_run *run = s->run;
    s->run = NULL;
    ASSERT(run->state == RUN_OPEN);
    if (run_empty(run)) {
        ASSERT(run->receipt.flights == 0);
        run_free(run);
        return;
    }
    run->state = RUN_WAITING;
    if (run->receipt.flights == 0)
        run_over(run, run->receipt.err);
}

struct publish_receipt *amqp_confirm_receipt(struct amqp_session *s)
{
    if (s->run == NULL) {
        s->run = run_new(s, &s->runs, RUN_OPEN);
        amqp_session_published(s);
    }
    return &s->run->receipt;
}

// The outcome of a tag is known at once: it stands before the open run, which is empty then.
static void decided(struct amqp_session *s, int err)
{
    ASSERT(s->run != NULL);
    if (!run_empty(s->run)) {
        run_close(s);
        (void)amqp_confirm_receipt(s);
    }
    struct list *prev = s->run->link.prev;
    struct amqp_confirm_run *run =
        prev == &s->runs ? NULL : CONTAINER_OF(prev, struct amqp_confirm_run, link);
    if (run == NULL || run->state != RUN_DONE || (run->err == 0) != (err == 0)) {
        run = run_new(s, &s->run->link, RUN_DONE);
        run->err = err;
    }
    s->published++;
    run->last = s->published;
    s->run->first = s->published + 1;
    s->run->last = s->published;
}

void amqp_confirm_published(struct amqp_session *s, bool routed)
{
    if (!routed) {
        decided(s, 0);
        return;
    }
    ASSERT(s->run != NULL);
    s->published++;
    s->run->last = s->published;
}

void amqp_confirm_refused(struct amqp_session *s)
{
    struct amqp_confirm_run *run = s->run;
    ASSERT(run != NULL);
    if (!run_empty(run) || run->receipt.flights == 0) {
        decided(s, ERR_BUDGET);
        return;
    }
    // Some queues took it before memory ended: its tag waits for them by itself.
    s->published++;
    run->last = s->published;
    run->receipt.err = ERR_BUDGET;
    run_close(s);
}

void amqp_confirm_turn(struct amqp_session *s)
{
    if (s->run != NULL)
        run_close(s);
    tell_head(s);
}

void amqp_confirm_close(struct amqp_session *s, bool gone)
{
    struct amqp_confirm_run *run;
    while ((run = head(s)) != NULL) {
        if (run->receipt.flights > 0 && !gone)
            publish_receipt_cancel(s->shard, &run->receipt);
        run_free(run);
    }
}

void amqp_confirm_select_handle(struct amqp_channel *ch, const struct amqp_confirm_select *m)
{
    ch->session->confirming = true;
    if (!m->no_wait)
        amqp_send(ch, AMQP_CONFIRM_SELECT_OK, &(struct amqp_confirm_select_ok){0});
}
