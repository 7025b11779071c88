// SPDX-License-Identifier: Apache-2.0
//
// Reading and writing the two state records. Reading trusts nothing: a snapshot may be damaged and
// still carry a good checksum of damaged memory, so counts are checked against the bytes left.
#include "group/format.h"

#include "base/assert.h"
#include "base/err.h"

#define NULL_LENGTH UINT32_MAX

void format_put_string(struct buf *out, struct slice s)
{
    ASSERT(s.len < NULL_LENGTH);
    ASSERT(s.data != NULL || s.len == 0);
    buf_put_le32(out, s.data == NULL ? NULL_LENGTH : (uint32_t)s.len);
    if (s.len > 0)
        buf_put_slice(out, s);
}

struct slice format_get_string(struct cursor *in)
{
    uint32_t len = cursor_le32(in);
    if (in->err != 0 || len == NULL_LENGTH)
        return SLICE_NULL;
    return cursor_bytes(in, len);
}

static int check_version(uint8_t version, const struct cursor *in)
{
    if (in->err != 0)
        return ERR_CORRUPT;
    return version == GROUP_FORMAT ? 0 : ERR_FORMAT_VERSION;
}

// ---- offsets

void format_put_offset_key(struct buf *out, const struct group_offset_key *key)
{
    ASSERT(key->partition >= 0);
    ASSERT(key->group_id.len < NULL_LENGTH);
    buf_put_le32(out, (uint32_t)key->group_id.len);
    buf_put_slice(out, key->group_id);
    buf_put_le32(out, (uint32_t)key->partition);
    buf_put_slice(out, key->topic);
}

int format_get_offset_key(struct slice in, struct group_offset_key *out)
{
    struct cursor c = cursor_of(in);
    struct group_offset_key key = {.partition = 0};
    key.group_id = cursor_bytes(&c, cursor_le32(&c));
    key.partition = (int32_t)cursor_le32(&c);
    key.topic = cursor_bytes(&c, cursor_left(&c));
    if (c.err != 0 || key.partition < 0)
        return ERR_CORRUPT;
    *out = key;
    return 0;
}

void format_put_offset_value(struct buf *out, const struct group_offset_value *value)
{
    size_t start = out->len;
    buf_put_u8(out, GROUP_FORMAT);
    buf_put_zero(out, 3);
    buf_put_le32(out, (uint32_t)value->leader_epoch);
    buf_put_le64(out, (uint64_t)value->offset);
    buf_put_le64(out, (uint64_t)value->commit_ms);
    buf_put_le64(out, (uint64_t)value->expire_ms);
    ASSERT(out->err != 0 || out->len - start == GROUP_OFFSET_VALUE_BYTES);
    if (value->metadata.len > 0)
        buf_put_slice(out, value->metadata);
}

int format_get_offset_value(struct slice in, struct group_offset_value *out)
{
    struct cursor c = cursor_of(in);
    uint8_t version = cursor_u8(&c);
    cursor_skip(&c, 3);
    struct group_offset_value value = {.leader_epoch = (int32_t)cursor_le32(&c)};
    value.offset = (int64_t)cursor_le64(&c);
    value.commit_ms = (int64_t)cursor_le64(&c);
    value.expire_ms = (int64_t)cursor_le64(&c);
    value.metadata = cursor_bytes(&c, cursor_left(&c));
    int err = check_version(version, &c);
    if (err == 0)
        *out = value;
    return err;
}

// ---- groups

void format_put_head(struct buf *out, const struct group_head *head)
{
    buf_put_u8(out, GROUP_FORMAT);
    buf_put_zero(out, 3);
    buf_put_le32(out, (uint32_t)head->generation);
    buf_put_le64(out, (uint64_t)head->since_ms);
    format_put_string(out, head->protocol_type);
    format_put_string(out, head->protocol);
    format_put_string(out, head->leader);
    buf_put_le32(out, head->members_count);
}

int format_get_head(struct cursor *in, struct group_head *out)
{
    uint8_t version = cursor_u8(in);
    int err = check_version(version, in);
    if (err != 0)
        return err;
    cursor_skip(in, 3);
    struct group_head head = {.generation = (int32_t)cursor_le32(in)};
    head.since_ms = (int64_t)cursor_le64(in);
    head.protocol_type = format_get_string(in);
    head.protocol = format_get_string(in);
    head.leader = format_get_string(in);
    head.members_count = cursor_le32(in);
    if (in->err != 0 || head.members_count > cursor_left(in) / GROUP_MEMBER_BYTES_ONDISK)
        return ERR_CORRUPT;
    *out = head;
    return 0;
}

void format_put_member_head(struct buf *out, const struct group_stored_member *member)
{
    ASSERT(member->id.data != NULL);
    ASSERT(member->protocols_count <= GROUP_PROTOCOLS_MAX);
    format_put_string(out, member->id);
    format_put_string(out, member->instance_id);
    format_put_string(out, member->client_id);
    format_put_string(out, member->client_host);
    buf_put_le32(out, (uint32_t)member->session_timeout_ms);
    buf_put_le32(out, (uint32_t)member->rebalance_timeout_ms);
    buf_put_le32(out, member->protocols_count);
}

int format_get_member(struct cursor *in, struct group_stored_member *out)
{
    struct group_stored_member m = {.id = format_get_string(in)};
    m.instance_id = format_get_string(in);
    m.client_id = format_get_string(in);
    m.client_host = format_get_string(in);
    m.session_timeout_ms = (int32_t)cursor_le32(in);
    m.rebalance_timeout_ms = (int32_t)cursor_le32(in);
    m.protocols_count = cursor_le32(in);
    if (in->err != 0 || m.protocols_count > GROUP_PROTOCOLS_MAX)
        return ERR_CORRUPT;
    const uint8_t *begin = in->pos;
    for (uint32_t i = 0; i < m.protocols_count; i++) {
        struct slice name = format_get_string(in);
        struct slice metadata = format_get_string(in);
        if (name.data == NULL || metadata.data == NULL)
            return ERR_CORRUPT;
    }
    m.protocols = slice_of(begin, (size_t)(in->pos - begin));
    m.assignment = format_get_string(in);
    bool sane = m.id.len > 0 && m.session_timeout_ms >= 0 && m.rebalance_timeout_ms >= 0 &&
                m.assignment.data != NULL;
    if (in->err != 0 || !sane)
        return ERR_CORRUPT;
    *out = m;
    return 0;
}
