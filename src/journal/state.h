// SPDX-License-Identifier: Apache-2.0
//
// State records: everything durable that is not a record batch is a key and a value in a room's
// table (a topic, a committed offset, a group, the end of a log). The same record is journalled
// when it changes and written to snapshots, so a room has one `apply` for both. A null value
// deletes the key. Replaying an old record before a newer one is harmless: the last wins.
//
// LAYOUT (journal body of JOURNAL_STATE, and one entry of a snapshot file; little-endian)
//   OFFSET SIZE FIELD
//   0      1    state kind
//   1      1    1 = tombstone, 0 = value follows
//   2      2    zero
//   4      4    key length k
//   8      4    value length v (0 for a tombstone)
//   12     k    key
//   12+k   v    value
#ifndef WEIR_JOURNAL_STATE_H
#define WEIR_JOURNAL_STATE_H

#include "base/buf.h"
#include "base/cursor.h"
#include "journal/journal.h"

// On disk: never reused.
enum state_kind {
    STATE_NODE = 1,      // key: a name; cluster id, producer id block, topic number
    STATE_TOPIC = 2,     // node/catalogue.h
    STATE_LOG = 3,       // log/log.h: ends, epochs, active segment
    STATE_SEGMENT = 4,   // log/log.h: a sealed segment
    STATE_PRODUCERS = 5, // txn/producers.h: a partition's producers
    STATE_OFFSET = 6,    // group: a committed offset
    STATE_GROUP = 7,     // group: metadata of a classic group
    STATE_BROKER_CONFIG = 8,
    STATE_LEASES = 9, // queue: what is settled of a partition
    STATE_TXN = 10,   // reserved: transactions
    STATE_QUERY = 11, // reserved: streaming queries
    STATE_GROUP_CONFIG = 12,
    STATE_QUEUE = 13,    // node/queues.h: a durable queue beside its topic
    STATE_EXCHANGE = 14, // node/queues.h
    STATE_BINDING = 15   // node/queues.h
};

struct state_record {
    uint8_t kind;
    struct slice key;
    struct slice value; // data == NULL: tombstone
};

void state_put(struct buf *out, const struct state_record *record);
int state_get(struct cursor *in, struct state_record *out); // ERR_TRUNCATED, ERR_MALFORMED

// Journals one record; done as in journal.h.
void state_write(struct journal_port *port, const struct state_record *record,
                 void (*done)(void *arg, const struct journal_frame *frame, int err), void *arg);

#endif
