// SPDX-License-Identifier: Apache-2.0
//
// Writing and reading the heads of a log's journal frames. The journal's own checksums cover them;
// still nothing here trusts a length or a number, since a frame may come from a newer program.
#include "log/frames.h"

#include <string.h>

#include "base/assert.h"
#include "base/endian.h"
#include "base/err.h"

static void key_put(uint8_t *out, const struct log_key *key)
{
    memcpy(out, key->topic.bytes, 16);
    le32_put(out + 16, (uint32_t)key->partition);
}

static void key_get(const uint8_t *in, struct log_key *out)
{
    memcpy(out->topic.bytes, in, 16);
    out->partition = (int32_t)le32_get(in + 16);
}

void frame_batch_put(uint8_t out[FRAME_BATCH_BYTES], const struct frame_batch *f)
{
    ASSERT(f->last_offset >= f->base_offset);
    ASSERT(f->base_offset >= f->segment);
    key_put(out, &f->key);
    le32_put(out + 20, (uint32_t)f->leader_epoch);
    le64_put(out + 24, (uint64_t)f->base_offset);
    le64_put(out + 32, (uint64_t)f->last_offset);
    le64_put(out + 40, (uint64_t)f->segment);
    le32_put(out + 48, f->position);
    le32_put(out + 52, f->size_bytes);
    le64_put(out + 56, (uint64_t)f->max_timestamp_ms);
}

int frame_batch_get(struct slice head, struct frame_batch *out)
{
    if (head.len != FRAME_BATCH_BYTES)
        return ERR_CORRUPT;
    const uint8_t *p = head.data;
    struct frame_batch f = {
        .leader_epoch = (int32_t)le32_get(p + 20),
        .base_offset = (int64_t)le64_get(p + 24),
        .last_offset = (int64_t)le64_get(p + 32),
        .segment = (int64_t)le64_get(p + 40),
        .position = le32_get(p + 48),
        .size_bytes = le32_get(p + 52),
        .max_timestamp_ms = (int64_t)le64_get(p + 56),
    };
    key_get(p, &f.key);
    if (f.segment < 0 || f.base_offset < f.segment || f.last_offset < f.base_offset)
        return ERR_CORRUPT;
    if (f.last_offset - f.segment > INT32_MAX || f.last_offset == INT64_MAX)
        return ERR_CORRUPT;
    if (f.size_bytes < BATCH_HEADER_BYTES || f.position > INT32_MAX ||
        f.size_bytes > INT32_MAX - f.position)
        return ERR_CORRUPT;
    *out = f;
    return 0;
}

void frame_start_put(uint8_t out[FRAME_START_BYTES], const struct log_key *key, int64_t start)
{
    ASSERT(start >= 0);
    key_put(out, key);
    le32_put(out + 20, 0);
    le64_put(out + 24, (uint64_t)start);
}

int frame_start_get(struct slice head, struct log_key *out_key, int64_t *out_start)
{
    if (head.len != FRAME_START_BYTES)
        return ERR_CORRUPT;
    int64_t start = (int64_t)le64_get(head.data + 24);
    if (start < 0)
        return ERR_CORRUPT;
    key_get(head.data, out_key);
    *out_start = start;
    return 0;
}

void frame_drop_put(uint8_t out[FRAME_DROP_BYTES], const struct log_key *key, int64_t from,
                    int64_t to)
{
    ASSERT(from >= 0);
    ASSERT(from < to);
    key_put(out, key);
    le32_put(out + 20, 0);
    le64_put(out + 24, (uint64_t)from);
    le64_put(out + 32, (uint64_t)to);
}

int frame_drop_get(struct slice head, struct log_key *out_key, int64_t *out_from, int64_t *out_to)
{
    if (head.len != FRAME_DROP_BYTES)
        return ERR_CORRUPT;
    int64_t from = (int64_t)le64_get(head.data + 24), to = (int64_t)le64_get(head.data + 32);
    if (from < 0 || from >= to)
        return ERR_CORRUPT;
    key_get(head.data, out_key);
    *out_from = from;
    *out_to = to;
    return 0;
}

static size_t head_bytes(uint8_t kind) // 0: no frame of a log
{
    switch (kind) {
    case JOURNAL_BATCH:
    case JOURNAL_REFERENCE:
        return FRAME_BATCH_BYTES;
    case JOURNAL_LOG_START:
        return FRAME_START_BYTES;
    case JOURNAL_LOG_DROP:
        return FRAME_DROP_BYTES;
    default:
        return 0;
    }
}

int log_frame_key(const struct journal_replayed *frame, struct log_key *out)
{
    size_t len = head_bytes(frame->kind);
    if (len == 0)
        return ERR_INVALID;
    if (frame->head.len != len)
        return ERR_CORRUPT;
    key_get(frame->head.data, out);
    return 0;
}
