// SPDX-License-Identifier: Apache-2.0
//
// The journal's life: made by recovery, started on its actor, driven by the ends of that actor's
// turns, failed once and for all when anything could not be made durable.
#include "journal/journal.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "journal/journal_int.h"

_Static_assert(sizeof(struct journal_stats) % 8 == 0, "published in words");

static const bool allowed[JOURNAL_STATES][JOURNAL_STATES] = {
    [JOURNAL_STARTING] = {[JOURNAL_IDLE] = true, [JOURNAL_FAILED] = true},
    [JOURNAL_IDLE] = {[JOURNAL_FORMED] = true, [JOURNAL_FAILED] = true},
    [JOURNAL_FORMED] = {[JOURNAL_WRITING] = true, [JOURNAL_IDLE] = true, [JOURNAL_FAILED] = true},
    [JOURNAL_WRITING] = {[JOURNAL_IDLE] = true, [JOURNAL_FORMED] = true, [JOURNAL_FAILED] = true},
};

void journal_state_set(struct journal *journal, enum journal_state state)
{
    ASSERT(allowed[journal->state][state]);
    bool has_group = !list_empty(&journal->group.submissions);
    switch (state) {
    case JOURNAL_IDLE:
        ASSERT(!has_group);
        ASSERT(journal->failed == 0);
        break;
    case JOURNAL_FORMED:
    case JOURNAL_WRITING:
        ASSERT(has_group);
        ASSERT(journal->group.jobs_left == 0);
        break;
    case JOURNAL_FAILED:
        ASSERT(journal->failed != 0);
        break;
    case JOURNAL_STARTING:
    case JOURNAL_STATES:
        ASSERT(false);
    }
    journal->state = state;
}

void journal_fail(struct journal *journal, int err, const char *what)
{
    ASSERT(err != 0);
    if (journal->failed != 0)
        return;
    journal->failed = err;
    journal_state_set(journal, JOURNAL_FAILED);
    if (journal->options.fatal != NULL)
        journal->options.fatal(journal->options.arg, err, what);
}

static void send_all_home(struct journal *journal)
{
    for (uint32_t i = 0; i < journal->options.ports_count; i++) {
        struct list all;
        list_init(&all);
        list_splice_back(&all, &journal->lanes[i].pending);
        LIST_FOR (it, &all) // their bundles stay until journal_destroy
            CONTAINER_OF(it, struct journal_submission, link)->bundle = NULL;
        group_send_home(journal, &all, ERR_SYNC);
    }
}

static void again_run(struct io_msg *msg)
{
    CONTAINER_OF(msg, struct journal, again_msg)->again_posted = false;
}

static void turn_end(void *arg)
{
    struct journal *journal = arg;
    uint64_t seq = journal->group.seq;
    bool was_idle = journal->state == JOURNAL_IDLE;
    group_try(journal);
    if (journal->failed != 0) {
        group_finish_if_done(journal);
        send_all_home(journal);
        return;
    }
    // What did not fit in the group goes with the next one, together with what came meanwhile: one
    // more turn, not a loop here. (An idle journal that formed nothing waits for bundles' parts.
    // One that had a group formed, waiting for a file, has room for the next now.)
    bool nothing = was_idle && journal->group.seq == seq;
    if (journal->state != JOURNAL_IDLE || nothing || journal->again_posted)
        return;
    for (uint32_t i = 0; i < journal->options.ports_count; i++) {
        if (list_empty(&journal->lanes[i].pending))
            continue;
        journal->again_posted = true;
        journal->again_msg.run = again_run;
        io_post(journal->options.actor, &journal->again_msg);
        return;
    }
}

static void start_run(struct io_msg *msg)
{
    struct journal *journal = CONTAINER_OF(msg, struct journal, start_msg);
    io_on_turn_end(journal->options.actor, turn_end, journal);
    int err = files_start(journal);
    if (err != 0)
        journal_fail(journal, err, "the journal's files could not be opened");
    else
        journal_state_set(journal, JOURNAL_IDLE);
}

void journal_start(struct journal *journal)
{
    journal->start_msg.run = start_run;
    io_post(journal->options.actor, &journal->start_msg);
}

static void check_options(const struct journal_options *options)
{
    ASSERT(options->file_bytes % IO_BLOCK == 0);
    ASSERT(options->file_bytes > WAL_GROUPS_AT);
    ASSERT(options->first_file_bytes % IO_BLOCK == 0);
    ASSERT(options->first_file_bytes > WAL_GROUPS_AT);
    ASSERT(options->first_file_bytes <= options->file_bytes);
    ASSERT(options->file_bytes <= UINT32_MAX);
    ASSERT(options->files_max >= 2); // one is written while others are recycled
    ASSERT(options->ports_count >= 1);
    ASSERT(options->group_max_bytes > 0);
    ASSERT(options->actor != NULL);
    ASSERT(options->checkpointer != NULL);
    ASSERT(strlen(options->dir) < JOURNAL_PATH_SIZE - WAL_NAME_SIZE);
}

static struct journal *journal_create(const struct journal_options *options, struct wal_tail *tail)
{
    struct journal *journal = mem_zalloc(sizeof *journal);
    journal->options = *options;
    // A body must fit a file with room to spare; what is larger always goes direct.
    if (journal->options.direct_min_bytes > options->file_bytes / 4)
        journal->options.direct_min_bytes = options->file_bytes / 4;
    (void)snprintf(journal->dir, sizeof journal->dir, "%s", options->dir);
    journal->lanes = mem_zalloc(options->ports_count * sizeof(struct journal_lane));
    for (uint32_t i = 0; i < options->ports_count; i++) {
        list_init(&journal->lanes[i].pending);
        list_init(&journal->lanes[i].home);
    }
    list_init(&journal->group.submissions);
    list_init(&journal->group.jobs);
    files_begin(journal);
    list_splice_back(&journal->files.used, &tail->used);
    list_splice_back(&journal->files.spares, &tail->spares);
    journal->files.pos = tail->pos;
    journal->files.count = tail->count;
    journal->files.next_number = tail->next_number;
    journal->store = tail->store;
    bundles_init(journal);
    journal->next_lsn = tail->next_lsn;
    journal->prev_crc = tail->prev_crc;
    atomic_init(&journal->durable_lsn, tail->next_lsn - 1);
    published_init(&journal->published, sizeof journal->stats);
    return journal;
}

int journal_open(struct io *io, const struct journal_options *options, uint64_t from_lsn,
                 const struct journal_replay *replay, struct journal_recovery *out_recovery,
                 struct journal **out)
{
    check_options(options);
    *out_recovery = (struct journal_recovery){0};
    int err = io_mkdir(io, options->dir);
    if (err == 0)
        err = io_sync_dir(io, "."); // else a power loss may forget the directory with all in it
    if (err != 0)
        return err;
    struct wal_tail tail;
    err = wal_recover(io, options->dir, options->first_file_bytes, from_lsn, replay, out_recovery,
                      &tail);
    if (err != 0)
        return err;
    *out = journal_create(options, &tail);
    atomic_init(&(*out)->recycle_lsn, from_lsn);
    return 0;
}

int journal_scan(struct io *io, const char *dir, uint64_t from_lsn,
                 const struct journal_replay *replay, struct journal_recovery *out_recovery)
{
    *out_recovery = (struct journal_recovery){0};
    return wal_recover(io, dir, 0, from_lsn, replay, out_recovery, NULL);
}

static void quiesce_run(struct io_msg *msg)
{
    struct journal *journal = CONTAINER_OF(msg, struct journal, files.quiesce_msg);
    journal->files.quiet = true;
    if (journal->state != JOURNAL_STARTING)
        io_timer_stop(journal->options.actor, &journal->files.retry);
    files_quiesce(journal);
}

void journal_quiesce(struct journal *journal, struct io *reply_to, struct io_msg *done)
{
    ASSERT(reply_to != NULL);
    ASSERT(journal->files.quiet_msg == NULL);
    journal->files.quiet_reply = reply_to;
    journal->files.quiet_msg = done;
    journal->files.quiesce_msg.run = quiesce_run;
    io_post(journal->options.actor, &journal->files.quiesce_msg);
}

void journal_destroy(struct journal *journal)
{
    if (journal == NULL)
        return;
    bundles_free(journal);
    direct_free(journal);
    files_free(journal);
    published_fini(&journal->published);
    mem_free(journal->buffer);
    mem_free(journal->lanes);
    mem_free(journal);
}

uint64_t journal_durable_lsn(const struct journal *journal)
{
    return atomic_load_explicit(&journal->durable_lsn, memory_order_acquire);
}

static void recycle_run(struct io_msg *msg)
{
    struct journal *journal = CONTAINER_OF(msg, struct journal, recycle_msg);
    atomic_store(&journal->recycle_posted, false); // before the LSN is read: none is missed
    files_recycle(journal, atomic_load(&journal->recycle_lsn));
}

void journal_recycle(struct journal *journal, uint64_t lsn)
{
    uint64_t known = atomic_load(&journal->recycle_lsn);
    while (known < lsn && !atomic_compare_exchange_weak(&journal->recycle_lsn, &known, lsn)) {
    }
    if (atomic_exchange(&journal->recycle_posted, true))
        return;
    journal->recycle_msg.run = recycle_run;
    io_post(journal->options.actor, &journal->recycle_msg);
}

static void overflow_run(struct io_msg *msg)
{
    struct journal *journal = CONTAINER_OF(msg, struct journal, overflow_msg);
    atomic_store(&journal->overflow_posted, false);
    files_overflow(journal);
}

void journal_overflow(struct journal *journal, bool on)
{
    atomic_store(&journal->overflow, on);
    if (!on || atomic_exchange(&journal->overflow_posted, true))
        return;
    journal->overflow_msg.run = overflow_run;
    io_post(journal->options.actor, &journal->overflow_msg);
}

static void lsn_answer(struct io_msg *msg) // on reply_to
{
    struct journal_lsn_query *query = CONTAINER_OF(msg, struct journal_lsn_query, msg);
    query->answer(query);
}

static void lsn_query_run(struct io_msg *msg) // on the journal's actor
{
    struct journal_lsn_query *query = CONTAINER_OF(msg, struct journal_lsn_query, msg);
    query->lsn = journal_durable_lsn(query->journal);
    query->msg.run = lsn_answer;
    io_post(query->reply_to, &query->msg);
}

void journal_ask_durable_lsn(struct journal *journal, struct journal_lsn_query *query)
{
    ASSERT(query->answer != NULL);
    query->journal = journal;
    query->msg.run = lsn_query_run;
    io_post(journal->options.actor, &query->msg);
}

void journal_stats(struct journal *journal, struct journal_stats *out)
{
    published_get(&journal->published, out);
}
