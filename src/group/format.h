// SPDX-License-Identifier: Apache-2.0
//
// What groups look like on disk: two state records (journal/state.h), in the journal when they
// change and in snapshots. Private to the room; the layouts are here so that `weir check` and the
// documentation have one place to look.
//
// A string is u32 length and bytes; length 0xffffffff is null. Everything is little-endian.
//
// LAYOUT of the STATE_OFFSET key
//   OFFSET SIZE FIELD
//   0      4    group id length g
//   4      g    group id
//   4+g    4    partition
//   8+g    …    topic name, to the end
// LAYOUT of the STATE_OFFSET value
//   OFFSET SIZE FIELD
//   0      1    format version = 1
//   1      3    zero
//   4      4    leader epoch, -1: unknown
//   8      8    committed offset
//   16     8    time of the commit, ms
//   24     8    time of expiry, ms; -1: by the server's retention
//   32     …    metadata, to the end
//
// The STATE_GROUP key is the group id.
// LAYOUT of the STATE_GROUP value
//   OFFSET SIZE FIELD
//   0      1    format version = 1
//   1      3    zero
//   4      4    generation
//   8      8    time of the last change of state, ms
//   16     …    string protocol type, string protocol, string leader's member id (each may be null)
//   …      4    members m; 0: Empty, else Stable
//   …      …    m times: string member id, string instance id (or null), string client id,
//               string client host, i32 session timeout ms, i32 rebalance timeout ms,
//               u32 protocols p, p times (string name, string metadata), string assignment
#ifndef WEIR_GROUP_FORMAT_H
#define WEIR_GROUP_FORMAT_H

#include "base/buf.h"
#include "base/cursor.h"

#define GROUP_FORMAT              1
#define GROUP_OFFSET_VALUE_BYTES  32 // without the metadata
#define GROUP_RECORD_MAX_BYTES    ((size_t)1 << 30)
#define GROUP_PROTOCOLS_MAX       256 // that one member may name
#define GROUP_MEMBER_BYTES_ONDISK 32  // at least: bounds a count before it is believed

struct group_offset_key {
    struct slice group_id, topic;
    int32_t partition;
};
struct group_offset_value {
    int64_t offset, commit_ms, expire_ms;
    int32_t leader_epoch;
    struct slice metadata;
};
void format_put_offset_key(struct buf *out, const struct group_offset_key *key);
void format_put_offset_value(struct buf *out, const struct group_offset_value *value);
// ERR_CORRUPT, ERR_FORMAT_VERSION; slices lie in the input.
int format_get_offset_key(struct slice in, struct group_offset_key *out);
int format_get_offset_value(struct slice in, struct group_offset_value *out);

void format_put_string(struct buf *out, struct slice s); // null is kept
struct slice format_get_string(struct cursor *in);

struct group_head { // of a STATE_GROUP value; the members follow at the cursor
    int32_t generation;
    int64_t since_ms;
    struct slice protocol_type, protocol, leader;
    uint32_t members_count;
};
void format_put_head(struct buf *out, const struct group_head *head);
int format_get_head(struct cursor *in, struct group_head *out);

struct group_stored_member {
    struct slice id, instance_id, client_id, client_host, assignment;
    int32_t session_timeout_ms, rebalance_timeout_ms;
    uint32_t protocols_count;
    struct slice protocols; // pairs of strings, still encoded
};
void format_put_member_head(struct buf *out, const struct group_stored_member *member);
int format_get_member(struct cursor *in, struct group_stored_member *out);

#endif
