// SPDX-License-Identifier: Apache-2.0
//
// State records to bytes and back (layout in state.h): the same bytes in the journal and in
// snapshots.
#include "journal/state.h"

#include "base/assert.h"
#include "base/endian.h"
#include "base/err.h"

#define STATE_HEADER_BYTES 12

static void header_put(uint8_t out[STATE_HEADER_BYTES], const struct state_record *record)
{
    bool tombstone = record->value.data == NULL;
    ASSERT(record->kind != 0);
    ASSERT(record->key.len <= UINT32_MAX);
    ASSERT(record->value.len <= UINT32_MAX);
    ASSERT(!tombstone || record->value.len == 0);
    out[0] = record->kind;
    out[1] = tombstone;
    le16_put(out + 2, 0);
    le32_put(out + 4, (uint32_t)record->key.len);
    le32_put(out + 8, (uint32_t)record->value.len);
}

void state_put(struct buf *out, const struct state_record *record)
{
    uint8_t header[STATE_HEADER_BYTES];
    header_put(header, record);
    buf_put(out, header, sizeof header);
    buf_put_slice(out, record->key);
    buf_put_slice(out, record->value);
}

int state_get(struct cursor *in, struct state_record *out)
{
    struct state_record record = {.kind = cursor_u8(in)};
    uint8_t tombstone = cursor_u8(in);
    uint16_t zero = cursor_le16(in);
    uint32_t key_len = cursor_le32(in);
    uint32_t value_len = cursor_le32(in);
    record.key = cursor_bytes(in, key_len);
    record.value = cursor_bytes(in, value_len);
    if (in->err != 0)
        return in->err;
    if (record.kind == 0 || tombstone > 1 || zero != 0 || (tombstone == 1 && value_len != 0))
        cursor_fail(in, ERR_MALFORMED);
    if (in->err != 0)
        return in->err;
    if (tombstone == 1)
        record.value = SLICE_NULL;
    ASSERT(tombstone == 1 || record.value.data != NULL);
    *out = record;
    return 0;
}

void state_write(struct journal_port *port, const struct state_record *record,
                 void (*done)(void *arg, const struct journal_frame *frame, int err), void *arg)
{
    struct blob *blob;
    size_t len = STATE_HEADER_BYTES + record->key.len + record->value.len;
    // Not accounted: the room that writes a record has bounded it, and holds a copy that is.
    int err = blob_create(len, NULL, &blob);
    ASSERT(err == 0);
    header_put(blob->data, record);
    uint8_t *at = blob->data + STATE_HEADER_BYTES;
    if (record->key.len > 0)
        memcpy(at, record->key.data, record->key.len);
    if (record->value.len > 0)
        memcpy(at + record->key.len, record->value.data, record->value.len);
    struct journal_write write = {.kind = JOURNAL_STATE,
                                  .body = {.blob = blob, .off = 0, .len = len},
                                  .done = done,
                                  .arg = arg};
    journal_add(port, &write);
    blob_unref(blob);
}
