// SPDX-License-Identifier: Apache-2.0
//
// Bits that change at rest, as the checker is told of them: a bit of a .log file may make records
// unreadable from its batch to the segment's end, since the way to later ones leads over its
// header; one of an index may cost nothing but time; one of the journal or of a snapshot may stop
// the start. Then the operator restores what was there before, and nothing may be missing.
//
// One bit at a time, until a start has read what is there: two in the journal's newest group look
// like a torn write (journal/one_bit.c).
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sim/world.h"

#define PATH_BYTES 128
#define READ_BYTES (1U << 20)

struct segment_place {
    struct model_partition *partition;
    char dir[PATH_BYTES]; // with the slash at its end
    int64_t base, next;   // offsets: where it begins, and the segment behind it
};

static struct model_partition *partition_at(struct model *m, const char *hex, long index)
{
    LIST_FOR (it, &m->topics) {
        struct model_topic *t = CONTAINER_OF(it, struct model_topic, link);
        char own[UUID_HEX_SIZE];
        uuid_to_hex(&t->id, own);
        if (strcmp(own, hex) == 0 && index >= 0 && (uint32_t)index < t->partitions_count)
            return t->partitions[index];
    }
    return NULL;
}

// log/<topic>/<partition>/<base>.log
static bool segment_place(struct world *w, const char *path, struct segment_place *out)
{
    char hex[UUID_HEX_SIZE];
    char *end = NULL;
    if (strncmp(path, "log/", 4) != 0 || strspn(path + 4, "0123456789abcdef") != sizeof hex - 1 ||
        path[4 + sizeof hex - 1] != '/')
        return false;
    (void)snprintf(hex, sizeof hex, "%.*s", (int)sizeof hex - 1, path + 4);
    const long index = strtol(path + 4 + sizeof hex, &end, 10);
    if (*end != '/')
        return false;
    const size_t dir = (size_t)(end + 1 - path);
    const int64_t base = strtoll(path + dir, &end, 10);
    if (strcmp(end, ".log") != 0 || dir >= sizeof out->dir)
        return false;
    *out = (struct segment_place){partition_at(&w->model, hex, index), "", base, INT64_MAX};
    memcpy(out->dir, path, dir);
    return out->partition != NULL;
}

static void neighbour(void *arg, const char *path)
{
    struct segment_place *place = arg;
    size_t len = strlen(place->dir);
    if (strncmp(path, place->dir, len) != 0 || strstr(path + len, ".log") == NULL)
        return;
    int64_t base = strtoll(path + len, NULL, 10);
    if (base > place->base && base < place->next)
        place->next = base;
}

// The size of the batch that holds the byte, going by the headers before it, and its offset; 0, and
// the offset where the way ends, when none leads to it.
static uint32_t batch_of(struct world *w, const char *path, int64_t base, uint64_t byte,
                         int64_t *out_offset)
{
    uint8_t *bytes = mem_alloc(READ_BYTES);
    int64_t len = sim_disk_read(w->server_machine, path, 0, bytes, READ_BYTES);
    uint32_t size = 0;
    size_t at = 0;
    struct batch b;
    *out_offset = base;
    while (size == 0 && len > 0 && batch_peek(slice_of(bytes + at, (size_t)len - at), &b) == 0) {
        if (at + b.size_bytes > byte)
            size = b.size_bytes;
        else
            *out_offset += b.last_offset_delta + 1;
        at += b.size_bytes;
    }
    mem_free(bytes);
    return size;
}

// Is the byte in a batch that is too large for recovery to tell one bit from a torn write
// (batch.h)? If that is of the newest group, it is cut with it, and no mending brings it back. Yes
// as well where no way leads to it, since what lies before it was not synced.
static bool taken_for_torn(struct world *w, const char *path, uint64_t byte)
{
    const char *end = strrchr(path, '.');
    if (strncmp(path, "log/", 4) != 0 || end == NULL || strcmp(end, ".log") != 0)
        return false;
    int64_t offset;
    uint32_t size = batch_of(w, path, 0, byte, &offset);
    return size == 0 || size > BATCH_ONE_BIT_MAX;
}

void damage_flipped(void *arg, struct sim_machine *machine, const char *path, uint64_t offset)
{
    struct world *w = arg;
    struct segment_place place;
    if (taken_for_torn(w, path, offset)) {
        sim_disk_mend(machine);
        return;
    }
    sim_set_fault(w->sim, SIM_FAULT_REST_FLIP, 0);
    history_note(&w->history, "world", "a bit of %s has changed, in byte %" PRIu64, path, offset);
    if (!segment_place(w, path, &place))
        return;
    sim_disk_each(machine, neighbour, &place);
    int64_t from;
    (void)batch_of(w, path, place.base, offset, &from);
    history_note(&w->history, "world", "%s-%d may be refused from %" PRId64 " to %" PRId64,
                 place.partition->topic->name, place.partition->index, from, place.next);
    model_hurt(&w->model, place.partition, from, place.next);
}

void damage_started(struct world *w)
{
    if (w->phase < PHASE_SETTLE)
        sim_set_fault(w->sim, SIM_FAULT_REST_FLIP, w->rest_flip_ppm);
}

void damage_mend(struct world *w)
{
    if (sim_disk_flips(w->server_machine) == 0)
        return;
    history_note(&w->history, "world", "the disk is mended");
    sim_disk_mend(w->server_machine);
    model_mended(&w->model);
}
