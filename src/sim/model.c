// SPDX-License-Identifier: Apache-2.0
//
// The model's frame: stamps, violations, registers, epochs and producer ids.
#include "sim/model.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "sim/model_int.h"

static bool sent_eq(const struct map_node *node, const void *key)
{
    const uint64_t *hash = key;
    return CONTAINER_OF(node, const struct model_sent, node)->hash == *hash;
}

void model_init(struct model *m, struct history *history)
{
    *m = (struct model){.history = history};
    map_init(&m->sent, sent_eq, 0);
    list_init(&m->registers);
    list_init(&m->topics);
    list_init(&m->groups);
    list_init(&m->hurts);
    for (uint32_t i = 0; i < MODEL_STARTS; i++)
        m->epochs[i] = -1;
}

void model_fini(struct model *m)
{
    MAP_FOR_SAFE (it, &m->sent) {
        struct map_node *node = CONTAINER_OF(it, struct map_node, order);
        mem_free(CONTAINER_OF(node, struct model_sent, node));
    }
    map_fini(&m->sent);
    LIST_FOR_SAFE (it, &m->registers) {
        struct model_register *r = CONTAINER_OF(it, struct model_register, link);
        mem_free(r->writes);
        mem_free(r);
    }
    topics_free(m);
    groups_free(m);
    hurts_free(m);
    mem_free(m->producer_ids);
}

void model_fail(struct model *m, const char *format, ...)
{
    if (m->violated)
        return;
    m->violated = true;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(m->violation, sizeof m->violation, format, args);
    va_end(args);
    if (m->history != NULL)
        history_note(m->history, "VIOLATION", "%s", m->violation);
}

uint64_t model_now(struct model *m)
{
    return ++m->stamp;
}

void model_server_begins(struct model *m)
{
    m->start++;
    ASSERT(m->start < MODEL_STARTS);
    topics_restart(m); // answers of the last one may have come after its end
    groups_restart(m);
}

void model_server_gone(struct model *m)
{
    uint64_t now = model_now(m);
    LIST_FOR (it, &m->registers) {
        struct model_register *r = CONTAINER_OF(it, struct model_register, link);
        for (uint32_t i = 0; i < r->count; i++)
            if (r->writes[i].outcome == MODEL_UNKNOWN && r->writes[i].end == MODEL_NEVER)
                r->writes[i].end = now;
    }
    groups_restart(m);
    topics_restart(m);
}

// ---- registers

struct model_register *register_create(struct model *m, uint64_t value, const char *format, ...)
{
    struct model_register *r = mem_zalloc(sizeof *r);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(r->name, sizeof r->name, format, args);
    va_end(args);
    uint32_t first = register_write(m, r, value);
    register_written(m, r, first, MODEL_OK);
    list_push_back(&m->registers, &r->link);
    return r;
}

uint32_t register_write(struct model *m, struct model_register *r, uint64_t value)
{
    if (r->count == r->cap) {
        r->cap = r->cap == 0 ? 4 : r->cap * 2;
        r->writes = mem_realloc(r->writes, r->cap * sizeof r->writes[0]);
    }
    r->writes[r->count] = (struct model_write){
        .value = value, .begin = model_now(m), .end = MODEL_NEVER, .known = MODEL_NEVER};
    r->writes[r->count].generation = -1;
    return r->count++;
}

void register_written(struct model *m, struct model_register *r, uint32_t number,
                      enum model_outcome outcome)
{
    ASSERT(number < r->count);
    struct model_write *w = &r->writes[number];
    ASSERT(w->outcome == MODEL_OPEN);
    w->outcome = outcome;
    if (outcome != MODEL_OK)
        return;
    uint64_t now = model_now(m);
    if (w->end > now)
        w->end = now; // unless it was fenced before
    if (w->known > now)
        w->known = now;
}

void register_fence(struct model *m, struct model_register *r, int32_t generation)
{
    uint64_t now = model_now(m);
    for (uint32_t i = 0; i < r->count; i++) {
        struct model_write *w = &r->writes[i];
        if (w->generation >= 0 && w->generation < generation && w->end > now)
            w->end = now;
    }
}

// Had another write certainly taken its place when somebody asked at `since`?
static bool write_is_gone(const struct model_register *r, const struct model_write *w,
                          uint64_t since)
{
    for (uint32_t i = 0; i < r->count; i++) {
        const struct model_write *later = &r->writes[i];
        if (later->begin > w->end && later->known <= since)
            return true;
    }
    return false;
}

void register_seen(struct model *m, struct model_register *r, uint64_t since, uint64_t value)
{
    struct model_write *found = NULL;
    uint32_t candidates = 0;
    uint64_t now = model_now(m);
    m->checks++;
    for (uint32_t i = 0; i < r->count; i++) {
        struct model_write *w = &r->writes[i];
        if (w->value != value || w->outcome == MODEL_REFUSED || write_is_gone(r, w, since))
            continue;
        found = w;
        candidates++;
    }
    if (candidates == 0) {
        model_fail(m,
                   "%s: a read said %lld, which no write put there, or a later one replaced "
                   "(the newest is %lld)",
                   r->name, (long long)value, (long long)register_last(r));
    } else if (candidates == 1 && found->known > now && (!r->spreads || found->end <= now)) {
        found->known = now;
        if (found->end > now)
            found->end = now;
    }
}

uint64_t register_last(const struct model_register *r)
{
    for (uint32_t i = r->count; i > 0; i--)
        if (r->writes[i - 1].outcome != MODEL_REFUSED)
            return r->writes[i - 1].value;
    return 0;
}

// ---- what is never given twice

void model_epoch(struct model *m, uint32_t start, int32_t epoch)
{
    ASSERT(start < MODEL_STARTS);
    m->checks++;
    if (m->epochs[start] >= 0 && m->epochs[start] != epoch)
        model_fail(m, "start %u of the server speaks of leader epochs %d and %d", start,
                   m->epochs[start], epoch);
    m->epochs[start] = epoch;
    for (uint32_t i = 0; i < start; i++)
        if (m->epochs[i] >= epoch)
            model_fail(m, "leader epoch %d of start %u is not above %d of start %u", epoch, start,
                       m->epochs[i], i);
    for (uint32_t i = start + 1; i < MODEL_STARTS; i++)
        if (m->epochs[i] >= 0 && m->epochs[i] <= epoch)
            model_fail(m, "leader epoch %d of start %u is not below %d of start %u", epoch, start,
                       m->epochs[i], i);
}

void model_producer_id(struct model *m, int64_t id)
{
    m->checks++;
    for (uint32_t i = 0; i < m->producer_ids_count; i++)
        if (m->producer_ids[i] == id)
            model_fail(m, "producer id %lld was given twice", (long long)id);
    if (m->producer_ids_count == m->producer_ids_cap) {
        m->producer_ids_cap = m->producer_ids_cap == 0 ? 16 : m->producer_ids_cap * 2;
        m->producer_ids =
            mem_realloc(m->producer_ids, m->producer_ids_cap * sizeof m->producer_ids[0]);
    }
    m->producer_ids[m->producer_ids_count++] = id;
}
