// SPDX-License-Identifier: Apache-2.0
//
// Planted bugs. `weir sim --bug NAME` switches one on to prove that the checkers find it; nothing
// else can. The switch is one process-wide integer, read where the right thing would be done: `if
// (!bug(BUG_SKIP_SYNC)) sync…`.
#ifndef WEIR_BASE_BUGS_H
#define WEIR_BASE_BUGS_H

#include <stdbool.h>

#include "base/assert.h"

// X(identifier, name on the command line, what the bug does)
#define BUG_TABLE(X)                                                                               \
    X(SKIP_SYNC, "skip-sync", "the journal answers without having synced")                         \
    X(EARLY_ACK, "early-ack",                                                                      \
      "an append is acknowledged when handed over, before its group is durable")                   \
    X(HALF_GROUP, "half-group", "recovery replays the frames of a torn last group")                \
    X(RECYCLE_EARLY, "recycle-early", "journal files are recycled before the segments are synced") \
    X(LOSE_PRODUCERS, "lose-producers", "a checkpoint forgets the producers' state")               \
    X(FORGET_EPOCH, "forget-epoch", "a start does not raise the leader epoch")                     \
    X(TEAR_BUNDLE, "tear-bundle", "a bundle's offsets are published outside the bundle")           \
    X(DIRECT_NO_SYNC, "direct-no-sync",                                                            \
      "a direct write is acknowledged without syncing its segment")                                \
    X(READ_AHEAD, "read-ahead", "readers see what is not durable yet")                             \
    X(DUP_SEQUENCE, "dup-sequence",                                                                \
      "a repeated batch of an idempotent producer is appended again")                              \
    X(LOSE_OFFSETS, "lose-offsets", "a checkpoint forgets committed offsets")                      \
    X(STALE_SNAPSHOT, "stale-snapshot", "a checkpoint is published before its cut is durable")     \
    X(LOST_DELETE, "lost-delete", "a deleted topic comes back after a restart")                    \
    X(LOG_START_BACK, "log-start-back",                                                            \
      "records deleted by DeleteRecords come back after a restart")                                \
    X(TWO_LEADERS, "two-leaders", "every member of a generation is told that it leads")            \
    X(OLD_GENERATION, "old-generation", "a new generation has the number of the one before")       \
    X(CONFIRM_EARLY, "confirm-early",                                                              \
      "a message is confirmed when appended, before its group is durable")                         \
    X(LEASE_TWICE, "lease-twice", "a leased record is given to a second consumer")                 \
    X(ACK_LOST, "ack-lost", "what was acknowledged is not journalled")                             \
    X(COLD_UNCHECKED, "cold-unchecked",                                                            \
      "what is read from segments is not held against checksums")                                  \
    X(TRUST_INDEX, "trust-index", "an index entry is believed whatever it names")                  \
    X(CUT_FLIPPED, "cut-flipped", "a flipped bit in the newest group is taken for a torn write")   \
    X(TAIL_UNWRITTEN, "tail-unwritten",                                                            \
      "recovery syncs the newest group, but does not write it again")                              \
    X(WRITE_IGNORED, "write-ignored", "the journal does not notice that a write has failed")       \
    X(SESSION_SILENT, "session-silent", "a fetch session forgets to tell of a new high watermark")

enum bug {
    BUG_NONE = 0,
#define BUG_ENUM(id, name, what) BUG_##id,
    BUG_TABLE(BUG_ENUM)
#undef BUG_ENUM
        BUG_COUNT
};

extern enum bug bug_planted; // BUG_NONE except in `weir sim --bug`

static inline bool bug(enum bug which)
{
    return UNLIKELY(bug_planted == which);
}

const char *bug_name(enum bug which);
const char *bug_text(enum bug which);
enum bug bug_by_name(const char *name); // BUG_NONE when there is none

#endif
