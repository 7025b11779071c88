// SPDX-License-Identifier: Apache-2.0
//
// Records that are kept until all have come: one map for all kinds, since a kind is one more byte
// of the key.
#include "node/kept.h"

#include "base/hash.h"
#include "base/mem.h"

struct kept_key {
    uint8_t kind;
    struct slice key;
};

static bool kept_eq(const struct map_node *node, const void *key)
{
    const struct kept_record *k = CONTAINER_OF(node, const struct kept_record, node);
    const struct kept_key *wanted = key;
    return k->kind == wanted->kind && slice_eq(k->key, wanted->key);
}

void kept_init(struct kept_records *kept, uint64_t hash_seed)
{
    map_init(&kept->records, kept_eq, hash_seed);
}

static void kept_free(struct kept_records *kept, struct kept_record *k)
{
    map_remove(&kept->records, &k->node);
    slice_free(k->value);
    slice_free(k->key);
    mem_free(k);
}

void kept_fini(struct kept_records *kept)
{
    MAP_FOR_SAFE (it, &kept->records) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        kept_free(kept, CONTAINER_OF(node, struct kept_record, node));
    }
    map_fini(&kept->records);
}

static uint64_t kept_hash(const struct kept_records *kept, uint8_t kind, struct slice key)
{
    return hash64(key.data, key.len, kept->records.seed + kind);
}

const struct kept_record *kept_find(const struct kept_records *kept, uint8_t kind, struct slice key)
{
    const struct kept_key wanted = {kind, key};
    struct map_node *node = map_find(&kept->records, kept_hash(kept, kind, key), &wanted);
    return node != NULL ? CONTAINER_OF(node, struct kept_record, node) : NULL;
}

void kept_put(struct kept_records *kept, const struct state_record *record)
{
    const struct kept_record *there = kept_find(kept, record->kind, record->key);
    struct kept_record *k = (struct kept_record *)(uintptr_t)there;
    if (record->value.data == NULL) {
        if (k != NULL)
            kept_free(kept, k);
        return;
    }
    if (k == NULL) {
        k = mem_zalloc(sizeof *k);
        k->kind = record->kind;
        k->key = slice_dup(record->key);
        map_insert(&kept->records, &k->node, kept_hash(kept, k->kind, k->key));
    }
    slice_free(k->value);
    k->value = slice_dup(record->value);
}

int kept_each(const struct kept_records *kept, uint8_t kind,
              int (*fn)(void *arg, const struct kept_record *record), void *arg)
{
    MAP_FOR_SAFE (it, &kept->records) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        const struct kept_record *k = CONTAINER_OF(node, struct kept_record, node);
        int err = k->kind == kind ? fn(arg, k) : 0;
        if (err != 0)
            return err;
    }
    return 0;
}
