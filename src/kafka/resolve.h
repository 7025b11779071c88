// SPDX-License-Identifier: Apache-2.0
//
// From what a client names to what the node knows: topics by name or by UUID, partitions by
// number, and sets of names to find what is named twice. Private to the room.
//
// A part that cannot be resolved keeps its own error (the `err` that these return) and is passed on
// with the zero UUID: the node finds nothing there and touches nothing, so that every part has one
// place in one array. The handler answers its own error in place of the node's.
#ifndef WEIR_KAFKA_RESOLVE_H
#define WEIR_KAFKA_RESOLVE_H

#include "kafka/kafka_int.h"

// By id when the request's version names ids, else by name. 0, ERR_UNKNOWN_TOPIC_ID,
// ERR_UNKNOWN_TOPIC_OR_PARTITION.
int kafka_topic(struct kafka_request *r, bool by_id, struct slice name, const struct uuid *id,
                const struct topic **out);
// Fills `out` for the node; topic NULL: with the zero UUID. 0, or
// ERR_UNKNOWN_TOPIC_OR_PARTITION when the topic has no such partition.
int kafka_part(const struct topic *topic, int32_t partition, int32_t leader_epoch,
               struct part *out);
// The error to answer: the door's own, else the node's. A topic that vanished meanwhile is unknown
// by the way it was named.
int16_t kafka_part_error(int own, const struct part *part, bool by_id);

// A replica list given by hand: this node and no other. 0, or ERR_INVALID_REPLICA_ASSIGNMENT.
int kafka_replicas_check(const struct kafka_request *r, const int32_t *ids, uint32_t count);

// A set of names, in a request's arena.
struct kafka_names {
    struct map map;
};
struct kafka_name {
    struct map_node node;
    struct slice name;
    uint32_t count; // how often it was added
};
void kafka_names_init(struct kafka_names *names, struct kafka_request *r);
void kafka_names_fini(struct kafka_names *names);
struct kafka_name *kafka_names_find(struct kafka_names *names, struct slice name); // NULL
// Counts the name up; NULL: no room, kafka_fail has been called.
struct kafka_name *kafka_names_add(struct kafka_names *names, struct kafka_request *r,
                                   struct slice name);

#endif
