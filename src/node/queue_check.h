// SPDX-License-Identifier: Apache-2.0
//
// What a store at rest says about queues, for `weir check`: records and frames are handed in as
// they are read, in order, and at the end it is seen whether they fit each other: every queue has
// its topic with a partition per level, no two have one name, and nothing is settled that its log
// does not have. Faults are reported and counted; nothing stops.
#ifndef WEIR_NODE_QUEUE_CHECK_H
#define WEIR_NODE_QUEUE_CHECK_H

#include "log/log.h"

struct queue_check;

struct queue_check_counts {
    uint64_t queues, exchanges, bindings;
    uint64_t void_bindings; // an end was deleted: the record is left over, which is no fault
    uint64_t lease_sets;
    uint64_t faults;
};

struct queue_check *queue_check_create(void (*report)(void *arg, const char *what), void *arg);
void queue_check_destroy(struct queue_check *check); // accepts NULL
void queue_check_record(struct queue_check *check,
                        const struct state_record *record); // of any kind
void queue_check_frame(struct queue_check *check, const struct journal_replayed *frame);
// The files of a log end there, in case that neither of them says so (relaxed topics).
void queue_check_log(struct queue_check *check, const struct log_key *key, int64_t end_offset);
void queue_check_finish(struct queue_check *check, struct queue_check_counts *out);

#endif
