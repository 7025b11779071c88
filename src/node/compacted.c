// SPDX-License-Identifier: Apache-2.0
//
// What a compacted topic asks of a batch: each record has a key, or compaction could not tell what
// replaces it. This is the one place where a produced batch is opened, so plain topics do not pay
// for it. Kafka names the records at fault (KIP-467): clients fail those, and tell the application
// that the rest of the batch only shared their fate.
#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "node/node_int.h"

// A compressed batch says nothing about its size in the open: this many times itself, and a
// megabyte for small ones, is what is looked at.
#define EXPANSION_MAX 32U
#define OPEN_MIN      (1U << 20)
#define OPEN_MAX      (64U << 20)

static void reject(struct produce_part *p, int32_t at)
{
    if (p->rejected_count == PRODUCE_REJECTED_MAX)
        return;
    if ((p->rejected_count & (p->rejected_count - 1)) == 0) {
        size_t room = p->rejected_count == 0 ? 1 : (size_t)p->rejected_count * 2;
        p->rejected = mem_realloc(p->rejected, room * sizeof p->rejected[0]);
    }
    p->rejected[p->rejected_count++] = at;
}

static int records_admit(struct slice records, const struct batch *b, struct produce_part *p)
{
    struct cursor in = cursor_of(records);
    struct record record;
    for (int32_t i = 0; i < b->records_count; i++) {
        if (record_next(&in, b, &record) != 0) {
            p->why = "A record of the batch cannot be read";
            return ERR_INVALID_RECORD;
        }
        if (record.key.data == NULL)
            reject(p, i);
    }
    if (p->rejected_count == 0)
        return 0;
    p->why = "One or more records have been rejected";
    p->rejected_why = "Compacted topic cannot accept message without key";
    return ERR_INVALID_RECORD;
}

int compacted_admit(struct shard *shard, const struct batch *b, struct produce_part *p)
{
    ASSERT(p->rejected == NULL);
    size_t limit = (size_t)b->size_bytes * EXPANSION_MAX;
    limit = limit < OPEN_MIN ? OPEN_MIN : limit > OPEN_MAX ? OPEN_MAX : limit;
    size_t taken = batch_codec(b) == BATCH_NONE ? 0 : 2 * limit; // decompressed, and its copy
    if (budget_take(&shard->requests, taken) != 0)
        return ERR_AGAIN; // clients send it again; what a budget is they do not know
    struct arena arena;
    struct slice records;
    arena_init(&arena, limit + OPEN_MIN);
    int err = batch_records(blob_piece_slice(p->records), &arena, limit, &records);
    if (err == 0)
        err = records_admit(records, b, p);
    else if (err == ERR_LIMIT)
        p->why = "The records are too large, decompressed, for a compacted topic";
    arena_fini(&arena);
    budget_give(&shard->requests, taken);
    return err == ERR_LIMIT ? ERR_MESSAGE_TOO_LARGE : err;
}
